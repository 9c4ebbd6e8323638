"""How columns are read and written so that no value changes on its way.

Python lacks what some types of Postgres hold: infinity and years before Christ in dates, months in intervals, the
bounds of arrays, numbers of JSON. The driver fails on them, or gives something else. The database's own text is exact.
MySQL's text of a FLOAT has six digits, and that of the same number as a DOUBLE has all.
"""

from __future__ import annotations

from sqlalchemy import Connection

#: Types of Postgres whose values Python has. All others are read as text.
_EXACT = frozenset(
    {
        *("smallint", "integer", "bigint", "numeric", "real", "double precision", "float", "boolean"),
        *("text", "character varying", "varchar", "character", "bpchar", "bytea", "uuid"),
    }
)


def is_read_as_text(declared: str, dialect: str) -> bool:
    """Return whether the values of a type have to be read as text, as the database writes them."""
    if dialect != "postgresql":
        return False
    name, bracket, rest = declared.lower().partition("(")
    is_array = rest.endswith("]") if bracket else name.endswith("]")
    return is_array or name.strip() not in _EXACT


def reading(quoted: str, declared: str, dialect: str) -> str:
    """Return the SQL that reads a column whose name is quoted."""
    if dialect in ("mysql", "mariadb") and declared.lower().startswith("float"):
        return f"{quoted} + 0e0"
    return f"CAST({quoted} AS text)" if is_read_as_text(declared, dialect) else quoted


def use_exact_texts(connection: Connection) -> None:
    """Have the database write texts that it can read again, until the transaction ends, whatever its settings are."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "SELECT set_config('datestyle', 'ISO', true), set_config('intervalstyle', 'postgres', true), "
            "set_config('extra_float_digits', '1', true)"
        )
