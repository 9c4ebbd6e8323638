"""Reads a database URL, chooses its driver, and shows the URL without its password."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from celeriac.core.errors import ConfigurationError

_EXPECTED = "expected sqlite:///path/to/file.db or postgresql://user:password@host/database"
_EXPECTED_OF_OTHERS = f"{_EXPECTED}, or mysql://user:password@host/database"

#: Accepted drivernames, and their drivers.
_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+aiosqlite": "sqlite+pysqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
#: The same, of databases on which Celeriac works, but where it keeps no tables of its own accord.
_DRIVERS_OF_OTHERS = {
    **_DRIVERS,
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
}


def parse_database_url(text: str, *, is_ours: bool = True) -> URL:
    """Return the SQLAlchemy URL for `text`, with its driver. MySQL is no place for tables of `ours`.

    Raises:
        ConfigurationError: the message says what is wrong with the URL, and never contains its password.
    """
    expected = _EXPECTED if is_ours else _EXPECTED_OF_OTHERS
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise ConfigurationError(f"the database URL cannot be read; {expected}") from None
    driver = (_DRIVERS if is_ours else _DRIVERS_OF_OTHERS).get(url.drivername)
    if driver is None:
        raise ConfigurationError(
            f"the database URL starts with {url.drivername}://, which is not supported; {expected}"
        )
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise ConfigurationError("an SQLite database in memory serves one process only; name a file: sqlite:///jobs.db")
    if driver.startswith("postgresql") and find_spec("asyncpg") is None:
        raise ConfigurationError("Postgres needs the driver asyncpg: pip install 'celeriac[postgres]'")
    if driver.endswith("pymysql") and find_spec("pymysql") is None:
        raise ConfigurationError("MySQL needs the driver pymysql: pip install 'celeriac[mysql]'")
    if not driver.startswith("sqlite") and not url.database:
        raise ConfigurationError(f"{shown(url)} names no database; {expected}")
    return url.set(drivername=driver)


def shown(url: URL) -> str:
    """Return the URL for a log, with its password masked."""
    return url.render_as_string(hide_password=True)
