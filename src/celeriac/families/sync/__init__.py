"""Syncs: records of the APIs of others, in tables of databases or in files, kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload

from celeriac.core.lazy_names import lazy_names
from celeriac.families.sync.errors import SyncInvalid
from celeriac.families.sync.settings import SyncSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.core.findings import Finding
    from celeriac.core.spec import Call
    from celeriac.database.migrations import Migrations
    from celeriac.demo import Demo
    from celeriac.families.sync.actions import Actions
    from celeriac.families.sync.definitions import Definition, MakeSource
    from celeriac.families.sync.hosts import Hosts
    from celeriac.families.sync.http.auth_model import BasicAuth, BearerAuth, HeaderAuth, OAuth2Auth, QueryAuth
    from celeriac.families.sync.http.model import ErrorRule, HttpSource, HttpStream, Rate, Since
    from celeriac.families.sync.http.pagination_model import (
        CursorPagination,
        KeysetPagination,
        LinkPagination,
        NextUrlPagination,
        OffsetPagination,
        PageNumberPagination,
    )
    from celeriac.families.sync.looks import Looks
    from celeriac.families.sync.model import (
        DatabaseDestination,
        FileDestination,
        Parent,
        PythonSource,
        Schedule,
        Stream,
        Sync,
    )
    from celeriac.families.sync.pages import Source

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "BasicAuth",
    "BearerAuth",
    "CursorPagination",
    "DatabaseDestination",
    "ErrorRule",
    "FileDestination",
    "HeaderAuth",
    "HttpSource",
    "HttpStream",
    "KeysetPagination",
    "LinkPagination",
    "NextUrlPagination",
    "OAuth2Auth",
    "OffsetPagination",
    "PageNumberPagination",
    "Parent",
    "PythonSource",
    "QueryAuth",
    "Rate",
    "Schedule",
    "Since",
    "Stream",
    "Sync",
    "SyncFamily",
    "SyncSettings",
]

# The models of definitions, by the modules that have them. pydantic builds one when somebody asks for it.
__getattr__ = lazy_names(
    __name__,
    {
        "model": ("Sync", "Stream", "Parent", "DatabaseDestination", "FileDestination", "PythonSource", "Schedule"),
        "http.model": ("HttpSource", "HttpStream", "Rate", "ErrorRule", "Since"),
        "http.auth_model": ("HeaderAuth", "QueryAuth", "BasicAuth", "BearerAuth", "OAuth2Auth"),
        "http.pagination_model": (
            "LinkPagination",
            "NextUrlPagination",
            "CursorPagination",
            "PageNumberPagination",
            "OffsetPagination",
            "KeysetPagination",
        ),
    },
)


class SyncFamily(JobFamily):
    """The sync family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "sync"
    summary = "Records of other people's APIs, kept up to date in databases and files"
    extra = "celeriac[sync]"
    requires = ("aiohttp", "jsonpath", "yaml", "obstore", "sqlalchemy", "alembic")
    settings_class: ClassVar[type[FamilySettings]] = SyncSettings
    shortcuts: ClassVar[Mapping[str, str]] = {"sync": "add", "sync_source": "source"}

    def __init__(self, host: Host) -> None:
        from celeriac.client.standing import has_ended
        from celeriac.database.named import NamedDatabases
        from celeriac.families.sync.definitions import Definitions
        from celeriac.families.sync.destinations import Destinations
        from celeriac.families.sync.jobs import register, register_dry_run
        from celeriac.families.sync.python_source import PythonSources
        from celeriac.families.sync.running import Runner

        self.host = host
        self.settings = cast(SyncSettings, host.own)
        self.definitions = Definitions(self._check_connection)
        self.sources = PythonSources()
        self.connections = NamedDatabases(
            self.settings.sync_connections,
            setting="CELERIAC_SYNC_CONNECTIONS",
            migrations=lambda: [self.migrations()],
            may_create=True,
        )
        self.destinations = Destinations(self.connections, lambda: host.database, self._files_of)
        self.runner = Runner(
            self.destinations,
            self._make_source,
            round(self.settings.sync_retention * 1000),
            lambda job_id: has_ended(host.app.client, job_id),
        )
        self.job = register(host.app, self.definitions, self.runner, self.settings.sync_queue)
        self.dry_run_job = register_dry_run(host.app, self.definitions, self.runner, self.settings.sync_queue)
        if self.settings.sync_folder is not None:
            self.definitions.add_folder(self.settings.sync_folder, self._add)
        host.app.when_complete(self._check_complete)

    def add(self, sync: Sync | Mapping[str, Any], *, source: MakeSource | None = None) -> Sync:
        """Define a sync in code. `source` makes a source of your own, which has the methods of `pages.Source`.

            app.sync(Sync(name="shop", source=…, streams=[…], destination=…))

        Raises:
            SyncInvalid: names what is wrong with it.
        """
        from celeriac.families.sync.definitions import Definition, read_definition

        checked = read_definition(sync, "app.sync(…)")
        self._add(Definition(checked, f"app.sync({checked.name})", source))
        return checked

    @overload
    def source(self, function: F, /) -> F: ...
    @overload
    def source(self, /, *, name: str | None = None) -> Callable[[F], F]: ...

    def source(self, function: Any = None, /, *, name: str | None = None) -> Any:
        """Make an async generator a source, which syncs name:

            @app.sync_source
            async def orders(context: SourceContext, shop: str) -> AsyncIterator[dict[str, Any]]: ...

        It yields records, lists of them, or a `SourcePage` with a token to go on from. Its parameters need annotations:
        what a sync gives is validated against them.

        Raises:
            SyncInvalid: it is no async generator, a parameter has no annotation, or the name is taken.
        """

        def add(decorated: F) -> F:
            self.sources.add(decorated, name)
            return decorated

        return add if function is None else add(function)

    def _check_complete(self) -> None:
        """Check what syncs say of sources that are declared after them.

        Raises:
            SyncInvalid: a file cannot be used, a source is unknown, or its arguments are wrong.
        """
        from celeriac.families.sync.model import PythonSource

        if self.definitions.unusable:
            raise self.definitions.unusable[0]
        for definition in self.definitions:
            source = definition.sync.source
            if definition.source is None and isinstance(source, PythonSource):
                try:
                    self.sources.get(source.python).open(source.parameters)
                except SyncInvalid as error:
                    raise SyncInvalid(f"{definition.where}: source: {error}") from None

    def _add(self, definition: Definition) -> None:
        self.definitions.add(definition)
        self._schedule(definition)

    def _check_connection(self, definition: Definition) -> None:
        from celeriac.families.sync.model import FileDestination

        destination = definition.sync.destination
        if not isinstance(destination, FileDestination) and destination.connection not in self.connections:
            known = ", ".join(self.connections) or "there are none"
            raise SyncInvalid(
                f"{definition.where}: destination.connection: none is named {destination.connection!r}; "
                f"CELERIAC_SYNC_CONNECTIONS names them: {known}"
            )

    def _schedule(self, definition: Definition) -> None:
        name, when = definition.sync.name, definition.sync.schedule
        if when is not None:
            self.host.app.schedule(
                f"celeriac.sync.{name}", self.call(name), every=when.every, cron=when.cron, timezone=when.timezone
            )

    def _make_source(self, definition: Definition) -> Source:
        from celeriac.families.sync.http.model import HttpSource

        if definition.source is not None:
            return definition.source(definition.sync)
        if isinstance(definition.sync.source, HttpSource):
            from celeriac.families.sync.http.reader import HttpReader

            streams = {stream.name: stream.http for stream in definition.sync.streams}
            return HttpReader(definition.sync.source, streams, self.host.app.limits)
        return self.sources.get(definition.sync.source.python).open(definition.sync.source.parameters)

    async def _files_of(self, job_id: str) -> list[str]:
        return [artifact.name for artifact in await self.host.app.storage.artifacts.of(job_id)]

    def call(self, name: str, *, streams: list[str] | None = None, full: bool = False) -> Call[Any]:
        """Return the call of a run, for `app.schedule`, `app.client.submit` or `job.fan_out`.

            app.schedule("shop", app.family(SyncFamily).call("shop"), cron="*/15 * * * *")

        Raises:
            UnknownSync: there is no such sync.
        """
        self.definitions.get(name)
        return self.job.call(sync=name, streams=streams, full=full)

    @cached_property
    def looks(self) -> Looks:
        """What its API and its commands show."""
        from celeriac.families.sync.looks import Looks

        return Looks(self)

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts of its syncs' APIs."""
        from celeriac.families.sync.hosts import Hosts

        return Hosts(self.host.app, self.definitions)

    @cached_property
    def actions(self) -> Actions:
        """What its API and its commands do."""
        from celeriac.families.sync.actions import Actions

        return Actions(self)

    @classmethod
    def migrations(cls) -> Migrations:
        from celeriac.database.migrations import Migrations

        return Migrations(cls.name, "celeriac.families.sync:migrations", head="0001")

    @classmethod
    def commands(cls) -> Typer:
        from celeriac.families.sync.cli import sync

        return sync

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        from celeriac.families.sync.checks import check_syncs

        return await check_syncs(own)

    @classmethod
    def demo(cls) -> type[Demo]:
        from celeriac.families.sync.demo import SyncDemo

        return SyncDemo

    def router(self, **options: Any) -> APIRouter:
        from celeriac.families.sync.api import create_sync_router

        return create_sync_router(self, **options)
