"""Writes the rows of a stream into its table, each page in the transaction of its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from celeriac.database.engine import Database
from celeriac.database.leases import Lease
from celeriac.families.sync.columns import Changes, Column, Known
from celeriac.families.sync.destination.dialects import be_strict, check_at_once, use_utc
from celeriac.families.sync.destination.refreshing import Refresh
from celeriac.families.sync.destination.refusing import RowsLeftOut, write_apart
from celeriac.families.sync.destination.table import SqlTable
from celeriac.families.sync.destination.writer import Ended
from celeriac.families.sync.errors import CountsWrong
from celeriac.families.sync.kinds import Kind
from celeriac.families.sync.model import Mode, Stream
from celeriac.families.sync.pages import Page, Record, Refusal
from celeriac.families.sync.shaping import Shaped, Shaper
from celeriac.families.sync.states import IDLE, READING, State


@dataclass(frozen=True, slots=True)
class _Writing:
    """How rows of these columns are written.

    Attributes:
        statement: writes rows.
        has_times: whether one of them has moments.
        is_counted: whether each row counts as written. One that has nothing but a key may be there already.
    """

    columns: Sequence[Column]
    statement: str
    has_times: bool
    is_counted: bool


class DatabaseWriter:
    """Writes into a table, or, for a full refresh, into one beside it that replaces its rows at the end."""

    def __init__(self, database: Database, held: Lease, table: SqlTable, stream: Stream, key: Sequence[str]) -> None:
        """`key` has the fields of the primary key, as they are in the records."""
        self._database = database
        self._held = held
        self._stream = stream
        self._key = key
        self._refresh = Refresh(table, stream) if stream.mode is Mode.FULL_REFRESH else None
        self._table = self._refresh.staging if self._refresh is not None else table
        self._shaper = Shaper(stream, database.dialect, Known([], {}, exists=False), key)
        self._changes = Changes()
        self._shaped: Shaped | None = None
        self._records: Sequence[Record] = ()
        self._parts_rows = False
        self._writing: _Writing | None = None

    async def files(self) -> list[str]:
        """None: rows go into a table."""
        return []

    @property
    def ignored(self) -> set[str]:
        """The fields that were left out."""
        return self._shaper.ignored

    @property
    def is_due(self) -> bool:
        """Each page is a commit."""
        return True

    def is_lost(self, connection: Connection, state: State) -> bool:
        """Return whether the table has gone that has the rows of `state`."""
        if self._refresh is not None:
            has_rows = state.phase != IDLE and state.counts.written > 0
        else:
            is_complete = state.phase == IDLE and bool(state.done_run)
            has_rows = is_complete or state.cursor is not None or state.counts.written > 0
        return has_rows and not self._table.exists(connection)

    async def begin(self, state: State) -> None:
        """Look at the table. A refresh that begins makes an empty one beside it."""

        def look(connection: Connection) -> Known:
            self._held.fence(connection)
            if self._refresh is not None:
                is_fresh = state.phase == READING and not state.counts.received
                return self._refresh.begin(connection, self._key, is_fresh=is_fresh)
            known = self._table.look(connection, self._key)
            if known.exists:
                self._table.check_key(connection, known.columns)
            return known

        known = await self._database.write(look)
        self._shaper = Shaper(self._stream, self._database.dialect, known, self._key)

    async def take(self, page: Page, faults: Mapping[int, str]) -> Shaped:
        """Shape a page, and change the table so that its rows fit."""
        self._records = page.records
        self._shaped = shaped = self._shaper.shape(page.records, faults)
        self._changes.merge(shaped.changes)
        if self._changes and shaped.rows:
            changes, columns = self._changes, shaped.columns

            def change(connection: Connection) -> None:
                self._held.fence(connection)
                self._table.change(connection, columns, changes)

            await self._database.write(change)
            self._changes = Changes()
            self._writing = None
        return shaped

    async def prepare(self, state: State) -> None:
        """Nothing comes before the transaction."""

    def part_rows(self) -> bool:
        """From now on, part rows that the table refuses from the others. That takes savepoints."""
        before, self._parts_rows = self._parts_rows, True
        return not before

    def write(self, connection: Connection) -> list[Refusal]:
        """Write the rows of the page. Return those that the table refuses, if they are to be parted from the others.

        Raises:
            CountsWrong: the database has written another number of rows.
        """
        shaped = self._shaped
        if shaped is None or not shaped.rows:
            return []
        writing = self._writing_of(connection, shaped.columns)
        be_strict(connection)
        if writing.has_times:
            use_utc(connection)
        if not self._parts_rows:
            self._write(connection, writing, shaped.data, shaped.rows)
            return []
        check_at_once(connection)

        def write(rows: Sequence[int], data: Sequence[Sequence[Any]] = shaped.data) -> None:
            self._write(connection, writing, [[values[row] for row in rows] for values in data], len(rows))

        refused: dict[int, str] = {}
        for row, reason in write_apart(connection, range(shaped.rows), write).items():
            last, *earlier = shaped.versions_of(row)
            refused[last] = reason
            for version in earlier:  # the last one that the table takes counts
                bad = write_apart(connection, [version], partial(write, data=shaped.whole))
                if not bad:
                    break
                refused |= bad
        places = {shaped.positions[version]: reason for version, reason in refused.items()}
        return [Refusal(places[place], self._records[place], place) for place in sorted(places)]

    def _writing_of(self, connection: Connection, columns: Sequence[Column]) -> _Writing:
        if self._writing is None or self._writing.columns != columns:
            has_times = any(column.kind is Kind.TIMESTAMP for column in columns)
            is_counted = self._stream.mode is Mode.APPEND or any(not column.is_key for column in columns)
            self._writing = _Writing(columns, self._table.statement(connection, columns), has_times, is_counted)
        return self._writing

    def _write(self, connection: Connection, writing: _Writing, data: Sequence[Sequence[Any]], rows: int) -> None:
        written = self._table.write(connection, writing.statement, data)
        if written is not None and writing.is_counted and written < rows:
            raise RowsLeftOut(self._table.id, rows, written)
        if written is not None and writing.is_counted and written != rows:
            raise CountsWrong(f"table {self._table.id}: of {rows:,} rows, {written:,} were written")

    def clear(self) -> None:
        """Forget the page."""
        self._shaped, self._records = None, ()

    async def prepare_end(self) -> None:
        """Have the table take what a refresh has found: new columns, and wider ones."""
        if self._refresh is None:
            return
        refresh = self._refresh

        def adjust(connection: Connection) -> None:
            self._held.fence(connection)
            refresh.adjust(connection, self._key)

        await self._database.write(adjust)

    def end(self, connection: Connection) -> Ended:
        """Replace the rows of the table by those of a refresh."""
        if self._refresh is None:
            return Ended()
        return self._refresh.swap(connection, self._key, parts_rows=self._parts_rows)

    async def clean_up(self) -> None:
        """Drop the table beside. MySQL would commit with that, so it follows on its own."""
        if self._refresh is None:
            return
        staging = self._refresh.staging

        def drop(connection: Connection) -> None:
            self._held.fence(connection)  # else it may be that of another run, which has begun meanwhile
            staging.drop(connection)

        await self._database.write(drop)
