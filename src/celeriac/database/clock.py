"""The database server's clock, in SQL.

Several machines compare times such as the expiry of a claim, so one clock measures them all: the server's. A worker
with a wrong clock must not see another's claim as expired.
"""

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class now_ms(FunctionElement[int]):
    """Milliseconds since the epoch, by the database server's clock when the statement runs."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite(element: now_ms, compiler: Any, **kw: Any) -> str:
    # 2440587.5 is the Julian day of the epoch; `unixepoch('subsec')` needs SQLite 3.42.
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql(element: now_ms, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "mysql", "mariadb")
def _mysql(element: now_ms, compiler: Any, **kw: Any) -> str:
    # SYSDATE goes on while a statement runs; its time zone cancels out.
    return "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)"
