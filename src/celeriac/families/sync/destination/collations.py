"""How a database compares the texts of a key. One that takes `a` and `A` for the same has one row for two records."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

_SQLITE = text("""
    SELECT part.name, part.coll FROM pragma_index_list(:name) AS found, pragma_index_xinfo(found.name) AS part
    WHERE found."unique" = 1 AND part.key = 1 AND part.coll <> 'BINARY'
""")
_POSTGRES = text("""
    SELECT attname, CASE WHEN collisdeterministic THEN typname ELSE collname END
    FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid LEFT JOIN pg_collation ON pg_collation.oid = attcollation
    WHERE attrelid = to_regclass(:name) AND attnum > 0 AND (NOT collisdeterministic OR typname = 'citext')
""")
_MYSQL = text("""
    SELECT column_name, collation_name FROM information_schema.columns
    WHERE table_name = :name AND table_schema = COALESCE(:within, DATABASE()) AND collation_name IS NOT NULL
    AND collation_name NOT LIKE '%\\_bin' AND collation_name NOT LIKE '%\\_cs' AND collation_name <> 'binary'
""")
#: What to write behind such a column, or in place of its type.
_ADVICE = {"sqlite": "COLLATE BINARY", "postgresql": 'type text COLLATE "C"'}
_ADVICE_MYSQL = "COLLATE utf8mb4_bin"


def loose_columns(connection: Connection, name: str, schema: str | None, quoted: str) -> Mapping[str, str]:
    """Return the columns of a table that take different texts for the same, and by which collation or type they do."""
    match connection.dialect.name:
        case "sqlite":
            found = connection.execute(_SQLITE, {"name": name})
        case "postgresql":
            found = connection.execute(_POSTGRES, {"name": quoted})
        case _:
            found = connection.execute(_MYSQL, {"name": name, "within": schema})
    return {str(column): str(collation) for column, collation in found}


def advice(dialect: str) -> str:
    """Say how a column is made that compares its texts exactly."""
    return _ADVICE.get(dialect, _ADVICE_MYSQL)
