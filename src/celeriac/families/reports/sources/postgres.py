"""Reads a report's data from Postgres, which no query can change.

- The transaction is read-only, and the query is what `DECLARE … CURSOR FOR` takes: one SELECT. So there is no COPY, no
  DO, no COMMIT, and no second statement.
- Superusers and members of the roles that may use the server's files and programs are refused, because their SELECT
  alone can read files (`pg_read_file`).
- The server stops each statement after a time. A query can lift that limit for the statements after it, so it is set
  again before each, and this side cancels what still runs shortly after. A query whose report was cancelled ends within
  a second or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import asyncpg

from celeriac.core.errors import CeleriacError
from celeriac.families.reports.errors import QueryFailed, SourceInvalid, SourceUnavailable
from celeriac.families.reports.sources.data import BATCH_ROWS, Data, Patience, Row
from celeriac.families.reports.sources.sql_text import ONLY_SELECT, parse

_CONNECT_S = 10.0
#: Seconds between the server's limit and ours.
_GRACE_S = 5.0
_CANCEL_S = 5.0
#: Errors that another attempt may not meet: the connection is lost, a deadlock, the server stops or starts.
_TRY_AGAIN = ("08", "40", "57P0")
#: Faults of the connection that another attempt would meet again.
_WRONG = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
)
#: The time of a statement. And has the server look each second whether we are still there: a cancelled report's process
#: is killed, and says nothing. Postgres can since version 14. Older ones go on until the statement's time is over.
_LIMITS = """
SELECT set_config(name, CASE name WHEN 'statement_timeout' THEN $1 ELSE '1000' END, false)
FROM pg_settings WHERE name IN ('statement_timeout', 'client_connection_check_interval')
"""
_TOO_MUCH_POWER = """
SELECT rolname FROM pg_roles
WHERE pg_has_role(current_user, oid, 'member')
  AND (rolsuper OR rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
LIMIT 1
"""


@asynccontextmanager
async def read_postgres(
    name: str, url: str, sql: str, parameters: Mapping[str, Any], patience: Patience
) -> AsyncGenerator[Data]:
    """Run the query on the connection `name`, and give its rows.

    Raises:
        SourceUnavailable: the server does not answer, or the connection is lost. Another attempt may succeed.
        SourceInvalid: the server has no such database, or refuses the login.
        QueryFailed: the server refuses the query, or stops it; or the role may do too much.
    """
    query = parse(sql)
    connection = await _connected(name, url, patience)
    try:
        async with _limited(name, url, connection, patience):
            await _refuse_power(name, connection)
            limiting = await connection.prepare(_LIMITS)
            await limiting.fetch(_milliseconds(patience))
            await connection.execute("BEGIN TRANSACTION READ ONLY")
            declared = f"DECLARE celeriac_report NO SCROLL CURSOR FOR {query.numbered()}"
            await connection.fetch(declared, *(parameters[key] for key in query.parameters))
            fetching = await connection.prepare(f"FETCH {BATCH_ROWS} FROM celeriac_report")

        async def batches() -> AsyncGenerator[list[Row]]:
            while True:
                async with _limited(name, url, connection, patience):
                    await limiting.fetch(_milliseconds(patience))
                    batch = await fetching.fetch()
                if not batch:
                    return
                yield [tuple(row.values()) for row in batch]

        yield Data(columns=[str(attribute.name) for attribute in fetching.get_attributes()], batches=batches())
    finally:
        connection.terminate()  # which also ends the transaction, whatever state it is in


async def check_postgres(name: str, url: str) -> None:
    """Raise `SourceUnavailable` or `QueryFailed` unless the server lets us read, and nothing more."""
    patience = Patience(_CONNECT_S)
    connection = await _connected(name, url, patience)
    try:
        async with asyncio.timeout(_CONNECT_S):
            await _refuse_power(name, connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise SourceUnavailable(f"connection {name}: {_words(error)}") from None
    finally:
        connection.terminate()


async def _connected(name: str, url: str, patience: Patience) -> Any:
    milliseconds = _milliseconds(patience)
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": "600000",
        "lock_timeout": milliseconds,
        "application_name": "celeriac reports",
        "TimeZone": "UTC",
    }
    try:
        return await cast(Any, asyncpg).connect(
            url.replace("postgresql+asyncpg://", "postgresql://", 1),
            timeout=min(_CONNECT_S, max(1.0, patience.left)),
            server_settings=settings,
        )
    except _WRONG as error:
        raise SourceInvalid(f"connection {name}: {_words(error)}") from None
    except ValueError:  # whose words may have a part of the password
        raise SourceInvalid(
            f"connection {name}: its URL in CELERIAC_REPORTS_CONNECTIONS is not understood: check host, port and "
            "options, and percent-encode the password"
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise SourceUnavailable(f"connection {name}: {_words(error)}") from None


async def _refuse_power(name: str, connection: Any) -> None:
    if role := await connection.fetchval(_TOO_MUCH_POWER):
        raise QueryFailed(
            f"connection {name}: its user has the role {role}, which can read files of the server; "
            "name a user that may only read tables"
        )


def _milliseconds(patience: Patience) -> str:
    return str(int(patience.left * 1000) + 2)  # so that our time is over, too, when the server stops a statement


@asynccontextmanager
async def _limited(name: str, url: str, connection: Any, patience: Patience) -> AsyncGenerator[None]:
    """Bound the time of statements, cancel one that still runs after it, and say in our errors what failed."""
    try:
        async with asyncio.timeout(patience.left + _GRACE_S):
            yield
    except (TimeoutError, asyncio.CancelledError) as error:
        await _cancel(url, connection.get_server_pid())
        if isinstance(error, asyncio.CancelledError):
            raise
        raise _failed(name, error, patience, is_lost=False) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _failed(name, error, patience, is_lost=connection.is_closed()) from None
    except (ValueError, OverflowError) as error:  # a year before 1 or after 9999, or 24:00
        raise QueryFailed(f"connection {name}: a date or time is out of range ({error}); select it as text") from None


async def _cancel(url: str, process: int) -> None:
    """Have the server stop the statement of that process. It need not look for a client that went while it works."""
    with suppress(CeleriacError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        async with asyncio.timeout(_CANCEL_S):
            other = await _connected("", url, Patience(_CANCEL_S))
            try:
                await other.execute(f"SELECT pg_cancel_backend({process})")
            finally:
                other.terminate()


def _failed(name: str, error: BaseException, patience: Patience, *, is_lost: bool) -> QueryFailed | SourceUnavailable:
    is_stopped = isinstance(error, asyncpg.QueryCanceledError) and patience.is_over
    if is_stopped or isinstance(error, TimeoutError):
        return QueryFailed(
            f"connection {name}: the query took more than {patience.seconds:g} s (CELERIAC_REPORTS_QUERY_TIMEOUT)"
        )
    if isinstance(error, OSError) or is_lost or str(getattr(error, "sqlstate", "")).startswith(_TRY_AGAIN):
        return SourceUnavailable(f"connection {name}: {_words(error)}")
    if "DECLARE CURSOR" in str(error):  # "must not contain data-modifying statements in WITH", for example
        return QueryFailed(f"connection {name}: {ONLY_SELECT}")
    return QueryFailed(f"connection {name}: {_words(error)}")


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
