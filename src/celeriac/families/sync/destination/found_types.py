"""What columns hold that somebody else has made, by the types that their database has for them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.types import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Numeric,
    String,
    TypeEngine,
)

from celeriac.families.sync.columns import Limit
from celeriac.families.sync.kinds import Kind

_MYSQL = ("mysql", "mariadb")
#: Types of Postgres that are no text to it, as SQL names them. Texts, and domains of them, need no cast. `whole` is the
#: type without the length or the digits to which a cast would cut or round, of a domain that of its values, of an
#: array of a domain the array of these.
_CASTS = text("""
    WITH RECURSIVE based AS (
        SELECT attname, format_type(atttypid, atttypmod) AS kind, atttypid AS type, atttypmod AS size, '' AS many
        FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT attname, kind, CASE own.typtype WHEN 'd' THEN own.typbasetype ELSE own.typelem END,
            GREATEST(size, own.typtypmod), CASE own.typtype WHEN 'd' THEN many ELSE '[]' END
        FROM based JOIN pg_type AS own ON own.oid = type LEFT JOIN pg_type AS each ON each.oid = own.typelem
        WHERE own.typtype = 'd' OR (own.typcategory = 'A' AND each.typtype = 'd')
    )
    SELECT attname, kind, CASE WHEN size < 0 OR (many <> '' AND own.typcategory = 'A') THEN ''
        WHEN own.typname = 'bit' AND many = '' THEN 'bit varying' ELSE format_type(type, -1) || many END AS whole
    FROM based JOIN pg_type AS own ON own.oid = type LEFT JOIN pg_type AS each ON each.oid = own.typelem
    WHERE own.typtype <> 'd' AND NOT (own.typcategory = 'A' AND each.typtype IS NOT DISTINCT FROM 'd')
        AND (own.typcategory <> 'S' OR many <> '')
""")


def casts_of(connection: Connection, table: str) -> dict[str, tuple[str, str]]:
    """Return the types of a table's columns to which texts have to be cast, by the columns' names.

    The second one is the type that tells whether the cast would cut or round a value; empty if it never does.
    """
    if connection.dialect.name != "postgresql":
        return {}
    return {row.attname: (row.kind, row.whole) for row in connection.execute(_CASTS, {"name": table})}


def is_widened(kind: TypeEngine[Any], dialect: str, cast: str) -> bool:
    """Return whether a column of this type may become text: an enumeration, an address or a UUID is no short text."""
    if dialect == "sqlite":  # which takes any text anywhere
        return True
    is_text = isinstance(kind, String) and not isinstance(kind, Enum) and kind.__visit_name__ != "SET"
    return not cast and (is_text or found_kind(kind, dialect)[0] is not Kind.TEXT)


def found_kind(kind: TypeEngine[Any], dialect: str) -> tuple[Kind, Limit]:
    """Return what a column of this type holds: one that somebody else has made, maybe. SQLite enforces no limit."""
    found, limit = _found(kind, dialect)
    return found, None if dialect == "sqlite" else limit


def _found(kind: TypeEngine[Any], dialect: str) -> tuple[Kind, Limit]:
    name = kind.__visit_name__
    if isinstance(kind, JSON):
        return Kind.JSON, None
    if isinstance(kind, Boolean) or (name == "TINYINT" and getattr(kind, "display_width", 0) == 1):
        return Kind.BOOLEAN, None
    if isinstance(kind, Integer):
        return Kind.INTEGER, None if isinstance(kind, BigInteger) else _MOST.get(name, 2**31 - 1)
    if isinstance(kind, Float):
        return Kind.DOUBLE, None
    if isinstance(kind, Numeric):
        scale = kind.scale or 0
        return Kind.NUMERIC, None if kind.precision is None else (kind.precision - scale, scale)
    if isinstance(kind, DateTime):
        return Kind.TIMESTAMP, None
    if isinstance(kind, Date):
        return Kind.DATE, None
    length = kind.length if isinstance(kind, String) else None
    return Kind.TEXT, length or _LONGEST.get(name if dialect in _MYSQL else "")


_MOST = {"TINYINT": 2**7 - 1, "SMALLINT": 2**15 - 1, "SMALL_INTEGER": 2**15 - 1, "MEDIUMINT": 2**23 - 1}
#: Characters of MySQL's short texts, if each takes the four bytes that one may.
_LONGEST = {"TINYTEXT": 63, "TEXT": 16_383, "MEDIUMTEXT": 4_194_303}
