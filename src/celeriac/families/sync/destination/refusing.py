"""What a database refuses because of a row's values, and how such rows are parted from the others of their page."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.database.triggers import is_of_trigger
from celeriac.families.sync.columns import Column
from celeriac.families.sync.destination.dialects import check_at_once, dialect_of
from celeriac.families.sync.errors import CountsWrong
from celeriac.families.sync.pages import Refusal

#: The values of a row's key.
Key = tuple[Any, ...]

#: SQLite's codes for a constraint, a value of a wrong type (a key that is to be an integer), and one that is too large.
_SQLITE = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})
#: Postgres' classes and codes for: values, constraints, the condition of a view, a value that is too large for an
#: index, and two rows with one key in one statement: single ones have that fault no more.
_POSTGRES = ("22", "23", "44", "54000", "21000")
#: MySQL's and MariaDB's errors for: null (1048, 1263, 1364), keys (1062, 1586, 1216, 1452), values that do not fit
#: (1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1690, 1118), partitions (1526), triggers (1644), JSON (3140, 3141),
#: CHECK (3819, 4025).
_MYSQL = frozenset(
    {
        *(1048, 1263, 1364, 1062, 1586, 1216, 1452, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1690, 1118),
        *(1526, 1644, 3140, 3141, 3819, 4025),
    }
)


class RowsLeftOut(CountsWrong):
    """The database has written fewer rows than it was given, and has said nothing."""

    def __init__(self, table: str, rows: int, written: int) -> None:
        self.table, self.rows, self.written = table, rows, written
        super().__init__(
            f"table {table}: of {rows:,} rows, {written:,} were written: a trigger or a rule of the table leaves rows "
            "out. Change it, or give the table a key, by which such rows are told from the others"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self.rows, self.written)


def why_refused(error: DBAPIError | RowsLeftOut) -> str | None:
    """Return why the database refuses the values of a row; None: they are not what is wrong.

    What may pass (a lock, a full disk, a broken connection) and what is wrong for each row alike, such as a missing
    privilege, is no fault of a row's.
    """
    if isinstance(error, RowsLeftOut):
        return "a trigger or a rule of the table leaves it out"
    cause = error.orig
    arguments: tuple[object, ...] = getattr(cause, "args", ())
    if isinstance(cause, sqlite3.Error):
        return str(cause) if getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE else None
    if len(arguments) > 1 and isinstance(arguments[0], int):  # MySQL's: its driver has SQLSTATE only at times
        return str(arguments[1]) if arguments[0] in _MYSQL else None
    state = str(getattr(cause, "sqlstate", None) or "")
    return _words(str(cause)) if state.startswith(_POSTGRES) or is_of_trigger(error) else None


def _words(told: str) -> str:
    """Leave out the name of the driver's class, and the lines after the first, which repeat the row."""
    first = told.partition("\n")[0]
    return first.partition(">: ")[2] if first.startswith("<class ") else first


def write_apart(
    connection: Connection, rows: Sequence[int], write: Callable[[Sequence[int]], object]
) -> dict[int, str]:
    """Write rows, all but those that the database refuses. Return these, with the reasons.

    What is refused is halved until it is one row.
    """
    return _again(connection, _halved(connection, rows, write), write)


def _again(connection: Connection, refused: dict[int, str], write: Callable[[Sequence[int]], object]) -> dict[int, str]:
    """Try refused rows again as long as that helps: a row may refer to one that comes later."""
    while refused:
        again = _halved(connection, sorted(refused), write)
        if len(again) == len(refused):
            break
        refused = again
    return refused


def _halved(connection: Connection, rows: Sequence[int], write: Callable[[Sequence[int]], object]) -> dict[int, str]:
    try:
        with connection.begin_nested():
            write(rows)
    except (DBAPIError, RowsLeftOut) as error:
        reason = why_refused(error)
        if reason is None:
            raise
    else:
        return {}
    if len(rows) == 1:
        return {rows[0]: reason}
    middle = len(rows) // 2
    return _halved(connection, rows[:middle], write) | _halved(connection, rows[middle:], write)


def copy_rows(
    connection: Connection,
    target: str,
    source: str,
    columns: Sequence[tuple[str, Column]],
    rows: int,
    values: Key = (),
) -> None:
    """Upsert all rows of a table or query into another table. Names are quoted already.

    Raises:
        RowsLeftOut: this has not taken all of them. MySQL cannot say.
    """
    written = connection.exec_driver_sql(dialect_of(connection).copying(target, source, columns), values).rowcount
    is_told = connection.dialect.name in ("sqlite", "postgresql") and any(not one.is_key for _, one in columns)
    if is_told and written < rows:
        raise RowsLeftOut(target, rows, written)


def copy_apart(
    connection: Connection, target: str, source: str, columns: Sequence[tuple[str, Column]], most: float
) -> list[Refusal]:
    """Upsert the rows of a table with a key into another, all but those that this refuses. Return these.

    Names are quoted already. It stops once more than `most` are refused, as then none is to stay.
    """
    check_at_once(connection)
    rows = _Rows(connection, source, columns)
    keys: dict[int, Key] = {}

    def copy(numbers: Sequence[int]) -> None:
        parts = [(numbers[0], numbers[-1])] if isinstance(numbers, range) else [(one, one) for one in numbers]
        for first, last in parts:
            select, values = rows.between(keys[first], keys[last])
            copy_rows(connection, target, f"({select})", columns, last - first + 1, values)

    refused: dict[int, str] = {}
    count, last = 0, None
    while found := rows.keys_after(last):
        numbers = range(count, count + len(found))
        keys |= dict(zip(numbers, found, strict=True))
        refused |= _halved(connection, numbers, copy)
        if len(refused) > most:
            refused = _again(connection, refused, copy)
            if len(refused) > most:
                break
        keys = {number: keys[number] for number in refused}
        count, last = numbers.stop, found[-1]
    else:
        refused = _again(connection, refused, copy)
    return [Refusal(reason, rows.row(keys[number]), number) for number, reason in sorted(refused.items())]


class _Rows:
    """The rows of a table in the order of their keys, a part at a time: a position would cost all rows before it."""

    _PART = 500

    def __init__(self, connection: Connection, table: str, columns: Sequence[tuple[str, Column]]) -> None:
        self._connection = connection
        self._table = table
        self._names = ", ".join(name for name, _ in columns)
        keys = [name for name, column in columns if column.is_key]
        self._key = ", ".join(keys)
        mark = {"qmark": "?", "numeric_dollar": "${}"}.get(connection.dialect.paramstyle, "%s")
        self._marks = [", ".join(mark.format(n + len(keys) * turn + 1) for n in range(len(keys))) for turn in (0, 1)]

    def keys_after(self, last: Key | None) -> list[Key]:
        """Return the next keys."""
        behind = "" if last is None else f"WHERE ({self._key}) > ({self._marks[0]})"
        query = f"SELECT {self._key} FROM {self._table} {behind} ORDER BY {self._key} LIMIT {self._PART}"  # noqa: S608
        return [tuple(row) for row in self._connection.exec_driver_sql(query, last or ())]

    def between(self, first: Key, last: Key) -> tuple[str, Key]:
        """Return a query for the rows from one key to another, and its values."""
        where = f"({self._key}) >= ({self._marks[0]}) AND ({self._key}) <= ({self._marks[1]})"
        return f"SELECT {self._names} FROM {self._table} WHERE {where}", first + last  # noqa: S608 (quoted)

    def row(self, key: Key) -> dict[str, Any]:
        """Return one row."""
        return dict(self._connection.exec_driver_sql(*self.between(key, key)).mappings().one())
