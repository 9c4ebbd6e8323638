"""Databases of the user's own, which job families work on under names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from pydantic import SecretStr

from celeriac.core.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable, UnknownConnection
from celeriac.database.engine import Database
from celeriac.database.migrations import Migrations
from celeriac.database.url import parse_database_url


def check_urls(urls: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Check the URLs of a setting, for a validator of pydantic's.

    Raises:
        ValueError: names the connection and what is wrong with its URL, without its password.
    """
    for name, url in urls.items():
        try:
            parse_database_url(url.get_secret_value(), is_ours=False)
        except ConfigurationError as error:
            raise ValueError(f"{name}: {error}") from None
    return urls


class NamedDatabases:
    """The databases that a setting names. Each connects at its first use."""

    def __init__(
        self,
        urls: Mapping[str, SecretStr],
        *,
        setting: str,
        migrations: Callable[[], Sequence[Migrations]] = tuple,
        may_create: bool = False,
    ) -> None:
        """
        Args:
            urls: their SQLAlchemy URLs by name.
            setting: the variable that names them, for messages.
            migrations: the histories of our own tables in them.
            may_create: whether an SQLite file that does not exist is created, in a folder that does.
        """
        self._urls = urls
        self._setting = setting
        self._migrations = migrations
        self._may_create = may_create
        self._open: dict[str, Database] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._urls))

    def __contains__(self, name: str) -> bool:
        return name in self._urls

    def get(self, name: str) -> Database:
        """Return the database of that name.

        Raises:
            UnknownConnection: the setting names none.
        """
        if name not in self._urls:
            known = ", ".join(self) or "there are none"
            raise UnknownConnection(f"no connection is named {name[:100]!r}; {self._setting} names them: {known}")
        if name not in self._open:
            url = self._urls[name].get_secret_value()
            self._open[name] = Database(url, self._migrations, is_ours=False, may_create=self._may_create)
        return self._open[name]

    @contextlib.contextmanager
    def naming(self) -> Generator[None]:
        """Say in a `DatabaseUnavailable` which connection it is, and what to do, for operators."""
        try:
            yield
        except DatabaseUnavailable as error:
            name = next((name for name, database in self._open.items() if database.address == error.url), None)
            if name is None:
                raise
            place = f"the connection {name!r} in {self._setting}"
            advice = f"correct {place}" if isinstance(error, DatabaseRefused) else f"start it, or correct {place}"
            raise type(error)(error.url, f"{error.reason}; {advice}") from error.__cause__

    async def dispose(self) -> None:
        """Close all connections of this process."""
        for database in self._open.values():
            await database.dispose()
