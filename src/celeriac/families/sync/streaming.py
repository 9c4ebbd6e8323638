"""One pass over one stream: pages are read, shaped, and committed together with how far the pass is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import JsonValue
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.database.engine import Database
from celeriac.database.leases import Lease
from celeriac.families.sync.counts import Counts
from celeriac.families.sync.cursors import CursorField, Highest, later, less
from celeriac.families.sync.destination.refusing import RowsLeftOut, why_refused
from celeriac.families.sync.destination.writer import Writer
from celeriac.families.sync.errors import SourceFailed, SyncFailed
from celeriac.families.sync.history import store_rejects
from celeriac.families.sync.model import Stream, Sync
from celeriac.families.sync.pages import Asked, Page, Place, Record, Refusal, Source
from celeriac.families.sync.parents import forget_refused, key_of, with_parent
from celeriac.families.sync.paths import getter, nested
from celeriac.families.sync.prefetching import prefetched
from celeriac.families.sync.rejecting import Rejections
from celeriac.families.sync.secrets import hiding
from celeriac.families.sync.states import (
    IDLE,
    READ,
    READING,
    State,
    begun,
    behind,
    drop_parents_not_seen,
    ended,
    forget,
    forget_children,
    has_news,
    load,
    next_parents,
    of_parent,
    store,
    store_parents,
)
from celeriac.families.sync.waiting import Waiting

T = TypeVar("T")
log = logging.getLogger("celeriac")

#: Parents that are looked up at a time.
_PARENTS = 200


class StreamPass:
    """A pass over one stream, or what is left of it."""

    def __init__(
        self,
        sync: Sync,
        stream: Stream,
        *,
        source: Source,
        database: Database,
        held: Lease,
        writer: Writer,
        run: str,
        report: Callable[[str, Counts], None],
        began: Callable[[str, Counts], None] = lambda stream, counts: None,
    ) -> None:
        """`database` is where states are kept. `run` is the run's id.

        `began` is told what the pass has counted in earlier runs, and `report` of each commit.
        """
        self._sync, self._stream = sync, stream
        self._source, self._database, self._held, self._writer = source, database, held, writer
        self._run, self._report, self._began, self._hide = run, report, began, hiding(source)
        self._state = State()
        self._cursor = CursorField(stream)
        self._key = [getter(path) for path in stream.primary_key]
        self._fields = {path: getter(path) for path in sync.fields_of_parents(stream.name)}
        self._waiting = Waiting()
        self._rejections = Rejections(sync.name, stream, self._hide)
        self._kept: JsonValue = None

    @property
    def counts(self) -> Counts:
        """What the pass has counted so far."""
        return self._state.counts

    async def run(self, *, is_full: bool | None) -> Counts:
        """Go through the stream to its end. `is_full`: see `states.begun`.

        Raises:
            SyncFailed: nothing of the page that failed is kept; all before it is.
            SourceUnavailable, DatabaseUnavailable, RunLater: another attempt goes on after the last commit.
        """
        fingerprint, origin = self._sync.fingerprint(self._stream), self._sync.origin(self._stream)

        def begin(connection: Connection) -> State:
            self._held.fence(connection)
            before = load(connection, self._sync.name, self._stream.name)
            if before.phase == IDLE and before.done_run == self._run:  # in an attempt before
                return before
            if self._writer.is_lost(connection, before):  # else the next rows would hide that the others are missing
                log.warning(
                    "sync %s, stream %s: its table has gone, so it is read anew", self._sync.name, self._stream.name
                )
                forget(connection, self._sync.name, [self._stream.name])
                before = State()
            state = begun(before, fingerprint=fingerprint, origin=origin, is_full=is_full)
            store(connection, self._sync.name, self._stream.name, state)
            return state

        self._state = await self._database.write(begin)
        # Behind the last page, the state has what the next pass begins with. What this one began with is gone.
        self._kept = None if self._state.phase == READ else self._state.kept
        self._began(self._stream.name, self._state.counts)
        if self._state.phase == IDLE:
            return self._state.counts
        await self._writer.begin(self._state)
        if self._state.phase == READING:
            await (self._read_children() if self._stream.parent is not None else self._read_all())
        await self._check_read()
        await self._end()
        return self._state.counts

    async def _check_read(self) -> None:
        """
        Raises:
            SyncFailed: nothing that is new could be written, or the API knows nothing of any parent's children.
        """
        stream, counts = self._stream, self._state.counts
        try:
            if self._state.has_news:  # else these are records at the cursor, which a run before has rejected
                self._rejections.check_written(counts)
            self._cursor.check(counts.received)
        except SyncFailed:
            await self._give_up(self._state, with_children=True)
            raise
        if stream.parent is not None and counts.requests and not counts.pages and not stream.allow_empty:
            await self._give_up(self._state)
            raise SourceFailed(
                f"stream {stream.name}: the API knows nothing (404) at {stream.http.path!r} for any record of "
                f"{stream.parent.stream}: look at http.path, or set allow_empty: true if that may be"
            )

    async def _read_all(self) -> None:
        await self._read(self._state, None, self._store_own)

    def _store_own(self, connection: Connection, page: Page, pending: Any) -> None:
        phase = READING if page.after is not None else READ
        self._state = behind(self._state, page, pending, phase=phase)
        store(connection, self._sync.name, self._stream.name, self._state)

    async def _read_children(self) -> None:
        """Read the children of one parent after the other. Each parent has a cursor and a place of its own."""
        assert self._stream.parent is not None
        parent, name = self._stream.parent.stream, self._stream.name

        def look(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
            return next_parents(connection, self._sync.name, parent, name, self._state.pass_id, limit=_PARENTS)

        while parents := await self._database.read(look):
            for key, fields in parents:
                await self._read_of_parent(key, fields)
        self._state = replace(self._state, phase=READ)

    async def _read_of_parent(self, key: str, fields: dict[str, Any]) -> None:
        before = await self._database.read(lambda c: load(c, self._sync.name, self._stream.name, key))
        own = of_parent(before, self._state)

        def store_child(connection: Connection, page: Page, pending: Any) -> None:
            child = behind(own, page, pending)
            if page.after is None:
                child = replace(child, cursor=later(own.cursor, pending), phase=IDLE)
            store(connection, self._sync.name, self._stream.name, child, key)
            store(connection, self._sync.name, self._stream.name, self._state)

        await self._read(own, fields, store_child)

    async def _read(
        self, start: State, parent: Record | None, store_place: Callable[[Connection, Page, Any], None]
    ) -> None:
        highest = Highest(start.pending)
        cursor = None if start.is_full else less(start.cursor, self._stream.lookback)
        kept = None if start.is_full else start.kept
        fields = parent and nested(parent)
        asked = Asked(stream=self._stream.name, place=start.place, cursor=cursor, parent=fields, kept=kept)
        async with contextlib.aclosing(prefetched(self._source.pages(asked))) as pages:
            async for page in pages:
                await self._take(page if parent is None else with_parent(self._stream, page, parent), highest)
                if page.after is None and has_news(start, highest.value):
                    self._state = replace(self._state, has_news=True)
                if page.after is None or self._writer.is_due:
                    await self._commit(page, highest.value, store_place)
                if page.after is None:
                    return
        raise SyncFailed(f"stream {self._stream.name}: its source has stopped without saying that it is complete")

    async def _take(self, page: Page, highest: Highest) -> None:
        shaped = await self._writer.take(page, self._cursor.judge(page, highest))
        waiting = self._waiting
        waiting.add(page, shaped, f"stream {self._stream.name}, page {page.page}")
        if self._fields:
            bad = {one.position for one in shaped.rejected}
            for position, record in enumerate(page.records):
                if position not in bad:
                    fields = {path: get(record) for path, get in self._fields.items()}
                    waiting.add_parent(record, key_of([get(record) for get in self._key]), fields)

    async def _commit(self, last: Page, pending: Any, store_place: Callable[[Connection, Page, Any], None]) -> None:
        await self._writer.prepare(self._state)
        waiting, before = self._waiting, self._state
        name, stream = self._sync.name, self._stream.name
        refused: Sequence[Refusal] = ()

        def commit(connection: Connection) -> None:
            nonlocal refused  # a transaction may be run again
            self._held.fence(connection)
            refused = self._writer.write(connection)
            self._state = replace(before, counts=before.counts + waiting.counts.rejecting(len(refused)))
            for page, those in (*waiting.refused, (last.page, last.placed(refused))):
                store_rejects(connection, name, stream, self._run, page, those, self._hide)
            if parents := waiting.parents(refused):
                store_parents(connection, name, stream, before.pass_id, parents)
            store_place(connection, last, pending)

        try:
            await self._write(commit)
        except BaseException:
            self._state = before
            raise
        self._writer.clear()
        self._waiting = Waiting()
        self._report(stream, self._state.counts)
        for _, those in (*waiting.refused, (last.page, refused)):
            self._rejections.see(those)
        if self._state.counts.rejected > before.counts.rejected:  # else somebody has looked at them, maybe
            self._rejections.check_most(self._state.counts)

    async def _write(self, transact: Callable[[Connection], T]) -> T:
        """Run a transaction. If rows are what the database refuses, run it again, with these parted from the others."""
        try:
            return await self._database.write(transact)
        except (DBAPIError, RowsLeftOut) as error:
            if why_refused(error) is None or not self._writer.part_rows():
                raise
        return await self._database.write(transact)

    async def _end(self) -> None:
        """Complete the pass: the cursor moves, and a refresh replaces the rows."""
        self._state.counts.check(f"stream {self._stream.name}")
        await self._writer.prepare_end()
        read, name, stream = self._state, self._sync.name, self._stream.name
        refused: Sequence[Refusal] = ()

        def end(connection: Connection) -> State:
            nonlocal refused
            self._held.fence(connection)
            done = self._writer.end(connection)
            refused = done.refused
            counts = read.counts.rejecting(len(refused)) + Counts(deleted=done.deleted)
            self._rejections.check_end(counts, refused)
            store_rejects(connection, name, stream, self._run, read.place.page, refused, self._hide)
            if read.is_full and self._fields:
                drop_parents_not_seen(connection, name, stream, read.pass_id)
            if self._fields and done.without_row:
                forget_refused(connection, name, stream, done.without_row)
            state = ended(read, counts, self._run)
            store(connection, name, stream, state)
            return state

        try:
            self._state = await self._write(end)
        except (SyncFailed, DBAPIError):  # what the database refuses now, it refuses again
            await self._give_up(read, refused)
            raise
        await self._writer.clean_up()

    async def _give_up(self, read: State, refused: Sequence[Refusal] = (), *, with_children: bool = False) -> None:
        """Have the next run read anew what this one could not write; also the children whose cursors have moved."""

        def store_idle(connection: Connection) -> None:
            self._held.fence(connection)
            idle = replace(read, phase=IDLE, place=Place(), kept=self._kept)
            store(connection, self._sync.name, self._stream.name, idle)
            name, stream = self._sync.name, self._stream.name
            store_rejects(connection, name, stream, self._run, read.place.page, refused, self._hide)
            if with_children:
                forget_children(connection, self._sync.name, self._stream.name, read.pass_id)

        await self._database.write(store_idle)
