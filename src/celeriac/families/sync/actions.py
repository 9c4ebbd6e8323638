"""What the API and the commands do: they list syncs, show how far they are, run them, and try them out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.client.options import NO_OPTIONS, EnqueueOptions
from celeriac.core.errors import WrongState
from celeriac.core.records import JobRecord
from celeriac.database.engine import Database
from celeriac.engine.app import JobApp
from celeriac.families.sync.columns import Column, Known
from celeriac.families.sync.cursors import less
from celeriac.families.sync.definitions import Definition, Definitions
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.history import Reject, Run, forget_rejects, list_rejects, list_runs
from celeriac.families.sync.jobs import RunJob
from celeriac.families.sync.locks import Busy, holder_of, take
from celeriac.families.sync.model import FileDestination, Stream
from celeriac.families.sync.pages import Asked, Page, Record, Refusal
from celeriac.families.sync.paths import nested
from celeriac.families.sync.running import Runner, chosen_streams
from celeriac.families.sync.shaping import Shaper
from celeriac.families.sync.states import State, all_of, forget, next_parents

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a sync stands: who runs it, and how far each stream is."""

    definition: Definition
    running: Busy | None
    streams: dict[str, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the first page of a stream would do.

    Attributes:
        stream: the stream.
        records: how many records it has.
        sample: the first of them.
        rejected: those that would be rejected.
        columns: the table as it would be.
        new: the names of columns that it would get.
        is_complete: whether that page is the only one.
    """

    stream: str
    records: int
    sample: list[Record]
    rejected: list[Refusal]
    columns: list[Column]
    new: list[str]
    is_complete: bool


class Actions:
    """The syncs of one application."""

    def __init__(self, app: JobApp, definitions: Definitions, runner: Runner, job: RunJob) -> None:
        self._app = app
        self._definitions = definitions
        self._runner = runner
        self._job = job

    def list(self) -> list[Definition]:
        """Return all syncs, by name."""
        return list(self._definitions)

    async def show(self, name: str) -> Standing:
        """Return how a sync stands.

        Raises:
            UnknownSync: there is no such sync.
            DatabaseUnavailable: its destination cannot be asked.
        """
        definition = self._definitions.get(name)
        database = self._database(definition)
        running = await database.read(lambda connection: holder_of(connection, name))
        states = await database.read(lambda connection: all_of(connection, name))
        return Standing(definition=definition, running=running, streams=states)

    async def run(
        self,
        name: str,
        *,
        streams: Sequence[str] | None = None,
        full: bool = False,
        options: EnqueueOptions = NO_OPTIONS,
    ) -> JobRecord:
        """Enqueue a run, and return its job.

        Raises:
            UnknownSync: there is no such sync, or stream.
            WrongState: another job is running it.
        """
        definition = self._definitions.get(name)
        chosen_streams(definition.sync, streams)
        busy = await self._database(definition).read(lambda connection: holder_of(connection, name))
        if busy is not None:
            raise WrongState(f"job {busy.holder} is running the sync {name!r}; wait for its end, or cancel it")
        chosen = None if streams is None else [*streams]
        return await self._app.client.submit(self._job.call(sync=name, streams=chosen, full=full), options)

    async def runs(self, name: str, *, limit: int = 20) -> list[Run]:
        """Return the last runs of a sync, the newest first.

        Raises:
            UnknownSync: there is no such sync.
        """
        database = self._database(self._definitions.get(name))
        return await database.read(lambda connection: list_runs(connection, name, limit))

    async def rejects(self, name: str, *, stream: str | None = None, before: int = 0, limit: int = 50) -> list[Reject]:
        """Return rejected records, the newest first; with `before`, those with a smaller number.

        Raises:
            UnknownSync: there is no such sync, or stream.
        """
        definition = self._definitions.get(name)
        chosen_streams(definition.sync, None if stream is None else [stream])
        database = self._database(definition)
        return await database.read(lambda connection: list_rejects(connection, name, stream, before, limit))

    async def reset(self, name: str, streams: Sequence[str] | None = None) -> list[str]:
        """Forget how far streams are, so that the next run reads all of them. Rows stay. Return the streams.

        Raises:
            UnknownSync: there is no such sync, or stream.
            WrongState: a job is running it.
        """
        definition = self._definitions.get(name)
        names = [stream.name for stream in chosen_streams(definition.sync, streams)]

        def forget_all(connection: Any) -> Busy | None:
            held = take(connection, name, "reset")
            if isinstance(held, Busy):
                return held
            forget(connection, name, names)
            forget_rejects(connection, name, names)
            held.release(connection)
            return None

        if (busy := await self._database(definition).write(forget_all)) is not None:
            raise WrongState(f"job {busy.holder} is running the sync {name!r}; cancel it first")
        return names

    async def dry_run(self, name: str, streams: Sequence[str] | None = None) -> list[Trial]:
        """Ask for the first page of streams, and say what would come of it. Write nothing.

        Raises:
            UnknownSync: there is no such sync, or stream.
            SyncFailed, SourceUnavailable: the source or the table does not allow it.
        """
        definition = self._definitions.get(name)
        source = self._runner.source(definition)
        try:
            return [await self._try(definition, stream, source) for stream in chosen_streams(definition.sync, streams)]
        finally:
            await source.close()

    async def _try(self, definition: Definition, stream: Stream, source: Any) -> Trial:
        sync, database = definition.sync, self._database(definition)
        states = await database.read(lambda connection: all_of(connection, sync.name))
        parent: Record | None = None
        if stream.parent is not None:
            of = stream.parent.stream
            found = await database.read(lambda c: next_parents(c, sync.name, of, stream.name, "", limit=1))
            if not found:
                raise SourceFailed(f"stream {stream.name}: no record of {of} is known yet; run that stream first")
            parent = nested(found[0][1])
        cursor = less(states.get(stream.name, State()).cursor, stream.lookback)
        page: Page | None = None
        async with contextlib.aclosing(source.pages(Asked(stream=stream.name, cursor=cursor, parent=parent))) as pages:
            async for found_page in pages:
                page = found_page
                break
        records = page.records if page is not None else ()
        known = await self._known(definition, stream)
        before = {column.name for column in known.columns}
        shaper = Shaper(stream, database.dialect, known, stream.primary_key)
        shaped = shaper.shape(records)
        return Trial(
            stream=stream.name,
            records=len(records),
            sample=list(records[:_SHOWN]),
            rejected=[*(page.refused if page is not None else ()), *shaped.rejected],
            columns=list(shaped.columns),
            new=[column.name for column in shaped.columns if column.name not in before],
            is_complete=page is None or page.after is None,
        )

    async def _known(self, definition: Definition, stream: Stream) -> Known:
        if isinstance(definition.sync.destination, FileDestination):
            return Known([], {}, exists=False)
        table = self._runner.destinations.table(definition.sync, stream)
        return await self._database(definition).read(lambda connection: table.look(connection, stream.primary_key))

    def _database(self, definition: Definition) -> Database:
        return self._runner.destinations.database(definition.sync)
