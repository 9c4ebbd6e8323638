"""Archives that are a table of the same database: rows move there in the transaction that deletes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from celeriac.families.cleanup.errors import ArchiveRefused

#: Characters of types that SQLite declares, which are any text.
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ (),")
_AFFINITIES = {
    "INTEGER": ("INT",),
    "TEXT": ("CHAR", "CLOB", "TEXT"),
    "BLOB": ("BLOB",),
    "REAL": ("REAL", "FLOA", "DOUB"),
}
#: SQLAlchemy's reflection knows some types only, and warns of others.
_OF_POSTGRES = text(
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
_OF_MYSQL = text(
    "SELECT column_name, column_type FROM information_schema.columns "
    "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name ORDER BY ordinal_position"
)


@dataclass(frozen=True, slots=True)
class TableName:
    """A table, and the schema it is in; None: the connection's own."""

    schema: str | None
    name: str

    @classmethod
    def parse(cls, name: str) -> TableName:
        """Read `table` or `schema.table`."""
        schema, _, table = name.rpartition(".")
        return cls(schema or None, table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    def quoted(self, connection: Connection) -> str:
        """Return it for a statement of SQLAlchemy's `text`."""
        parts = [self.schema, self.name] if self.schema else [self.name]
        return ".".join(quoted(connection, part) for part in parts if part)


def quoted(connection: Connection, name: str) -> str:
    """Quote a name for SQLAlchemy's `text`, which would take a part after a colon for a parameter."""
    found = connection.dialect.identifier_preparer.quote(name)
    if "%" in name:  # `text` doubles it for drivers that need that
        found = found.replace("%%", "%")
    return found.replace(":", "\\:")


def ensure_archive_table(connection: Connection, source: TableName, target: TableName, key: Sequence[str]) -> None:
    """Create the table `target` with the columns of `source` and a primary key, or check that it has them.

    It has neither defaults nor indexes nor foreign keys: rows come as they are, whatever else is gone. Call this before
    the run, as MySQL commits when a table is created.

    Raises:
        ArchiveRefused: the table exists, and cannot take the rows. The message names the column.
    """
    if source == target:
        raise ArchiveRefused(f"the table {source} cannot be its own archive: name another one")
    if not inspect(connection).has_table(target.name, schema=target.schema):
        _create(connection, source, target, key)
    _check(connection, source, target)


def copy_statement(
    connection: Connection, source: TableName, target: TableName, where: str, key: Sequence[str] = ()
) -> str:
    """Return the SQL that copies those rows of `source`, with the columns that it has now.

    Rows whose `key` is in `target` stay out.
    """
    old, new = source.quoted(connection), target.quoted(connection)
    if key:
        same = " AND ".join(f"{new}.{one} = {old}.{one}" for one in (quoted(connection, name) for name in key))
        where += f" AND NOT EXISTS (SELECT 1 FROM {new} WHERE {same})"  # noqa: S608 (quoted names)
    columns = ", ".join(quoted(connection, name) for name in columns_of_table(connection, source))
    return (
        f"INSERT INTO {new} ({columns}) "  # noqa: S608 (quoted names)
        f"SELECT {columns} FROM {old} WHERE {where}"
    )


def columns_of_table(connection: Connection, table: TableName) -> Mapping[str, str]:
    """Return the columns of a table, and their types as the database declares them.

    Raises:
        ArchiveRefused: there is no such table.
    """
    match connection.dialect.name:
        case "postgresql":
            found = connection.execute(_OF_POSTGRES, {"name": table.quoted(connection).replace("\\:", ":")})
        case "sqlite":
            rows = connection.execute(text(f"PRAGMA table_xinfo({quoted(connection, table.name)})"))
            found = [(row.name, row.type.removesuffix("GENERATED ALWAYS").strip()) for row in rows if row.hidden != 1]
        case _:
            found = connection.execute(_OF_MYSQL, {"schema": table.schema, "name": table.name})
    columns = {str(name): str(kind) for name, kind in found}
    if not columns:
        raise ArchiveRefused(f"there is no table {table}: create it, or name its schema, as in schema.table")
    return columns


def _create(connection: Connection, source: TableName, target: TableName, key: Sequence[str]) -> None:
    old, new = source.quoted(connection), target.quoted(connection)
    names = ", ".join(quoted(connection, name) for name in key)
    columns = columns_of_table(connection, source)
    has_key = bool(key) and set(key) <= set(columns)  # SQLite's own row number is no column
    if connection.dialect.name == "sqlite":
        parts = [f"{quoted(connection, name)} {_declared(kind)}" for name, kind in columns.items()]
        parts += [f"PRIMARY KEY ({names})"] if has_key else []
        connection.execute(text(f"CREATE TABLE {new} ({', '.join(parts)})"))
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"CREATE TABLE {new} (LIKE {old})"))
    else:
        connection.execute(text(f"CREATE TABLE {new} AS SELECT * FROM {old} WHERE 1 = 0"))  # noqa: S608 (quoted names)
    if has_key:
        connection.execute(text(f"ALTER TABLE {new} ADD PRIMARY KEY ({names})"))


def _declared(kind: str) -> str:
    """Return a type of SQLite for a new table. Any text may be one, so that only plain ones are taken over."""
    return kind if set(kind) <= _PLAIN else _affinity(kind)


def _affinity(kind: str) -> str:
    """Return how SQLite stores values in a column of that type. It goes by parts of the type's name."""
    name = kind.upper()
    for affinity, parts in _AFFINITIES.items():
        if any(part in name for part in parts):
            return affinity
    return "NUMERIC" if name else "BLOB"


def _check(connection: Connection, source: TableName, target: TableName) -> None:
    """
    Raises:
        ArchiveRefused: a column is missing, or has another type.
    """
    wanted, found = columns_of_table(connection, source), columns_of_table(connection, target)
    for name, kind in wanted.items():
        if name not in found:
            raise ArchiveRefused(
                f"the archive {target} lacks the column {name!r} of {source}: "
                f"ALTER TABLE {target} ADD COLUMN {name} {kind}"
            )
        is_sqlite = connection.dialect.name == "sqlite"
        if (_affinity(found[name]) != _affinity(kind)) if is_sqlite else found[name] != kind:
            raise ArchiveRefused(
                f"the column {name!r} is {found[name]} in the archive {target}, and {kind} in {source}"
            )
