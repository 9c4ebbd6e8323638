"""Changes that some work makes thousands of times a second. SQLAlchemy takes longer over one than SQLite does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Update
from sqlalchemy.engine import Dialect

#: Makes of a value what the driver takes; None: the driver takes the value itself.
_Processor = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement as one kind of database has it, with the names of its values, in their order if that counts."""

    text: str
    values: tuple[tuple[str, _Processor], ...]
    is_positional: bool


class Prepared:
    """An UPDATE that is compiled once for each kind of database. Each of its values is a `bindparam`, used once."""

    def __init__(self, statement: Update) -> None:
        self._statement = statement
        self._written: dict[str, _Written] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run it with these values, in the transaction of `connection`. Return how many rows it has found.

        Raises:
            DBAPIError: the database refuses.
        """
        dialect = connection.dialect
        written = self._written.get(dialect.name)
        if written is None:
            written = self._written[dialect.name] = self._write(dialect)
        given = {name: values[name] if to is None else to(values[name]) for name, to in written.values}
        placed = tuple(given.values()) if written.is_positional else given
        return connection.exec_driver_sql(written.text, placed).rowcount

    def _write(self, dialect: Dialect) -> _Written:
        compiled = self._statement.compile(dialect=dialect)
        types = {name: bind.type.dialect_impl(dialect) for name, bind in compiled.binds.items()}
        values = tuple((name, types[name].bind_processor(dialect)) for name in compiled.positiontup or types)
        return _Written(str(compiled), values, compiled.positional)
