"""One run of a sync: takes its lock, and goes through its streams, parents before their children."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.core.context import JobContext
from celeriac.core.errors import (
    BrokerUnavailable,
    CeleriacError,
    DatabaseRefused,
    DatabaseUnavailable,
    LeaseLost,
    RetryAfter,
    RunLater,
    StorageFull,
    StorageUnavailable,
)
from celeriac.database.engine import Database
from celeriac.database.leases import Busy, Lease
from celeriac.families.sync.counts import Counts
from celeriac.families.sync.definitions import Definition
from celeriac.families.sync.destinations import Destinations
from celeriac.families.sync.errors import SourceUnavailable, SyncFailed, UnknownSync
from celeriac.families.sync.history import begin_run, end_lost_run, forget_old, note_run
from celeriac.families.sync.model import Mode, Stream, Sync
from celeriac.families.sync.outcome import StreamOutcome, SyncOutcome
from celeriac.families.sync.pages import Source
from celeriac.families.sync.progress import Progress
from celeriac.families.sync.states import all_of
from celeriac.families.sync.streaming import StreamPass
from celeriac.families.sync.tables import LEASES

log = logging.getLogger("celeriac")

#: What another attempt of the job may overcome.
OUTAGES = (SourceUnavailable, DatabaseUnavailable, BrokerUnavailable, StorageUnavailable, StorageFull)
#: How long the lock outlasts an attempt that an outage has ended. The longest pause before the next is shorter.
_OUTAGE_MS = 600_000


class Runner:
    """Runs the syncs of one application."""

    def __init__(
        self,
        destinations: Destinations,
        make_source: Callable[[Definition], Source],
        keep_ms: int,
        has_ended: Callable[[str], Awaitable[bool]],
    ) -> None:
        """`keep_ms`: for how long runs are listed. `has_ended` says whether a job will not go on."""
        self._has_ended = has_ended
        self._destinations = destinations
        self._make_source = make_source
        self._keep_ms = keep_ms

    async def run(
        self, job: JobContext, definition: Definition, *, streams: Sequence[str] | None, full: bool
    ) -> SyncOutcome:
        """Run a sync, or some streams of it; `full` asks for all records, whatever the cursor.

        Raises:
            UnknownSync: it has no stream of that name.
            SyncFailed: streams have failed; the others were read.
            SourceUnavailable, DatabaseUnavailable, RunLater: another attempt goes on after the last commit.
        """
        try:
            return await self._run(job, definition, streams=streams, full=full)
        except DatabaseRefused as error:  # another attempt would be refused, too
            raise SyncFailed(str(error)) from error

    async def _run(
        self, job: JobContext, definition: Definition, *, streams: Sequence[str] | None, full: bool
    ) -> SyncOutcome:
        sync = definition.sync
        chosen = chosen_streams(sync, streams)
        database = self._destinations.database(sync)
        began = time.monotonic()
        held = await self._take(database, sync, job)
        if isinstance(held, Busy):
            reason = f"job {held.holder} is running the sync {sync.name!r}"
            await database.write(lambda connection: end_lost_run(connection, job.id, reason))
            return SyncOutcome(sync=sync.name, state="skipped", reason=reason)
        attempt = _Attempt(self, job, definition, held, database)
        try:
            done = await attempt.run(chosen, full=full)
        except LeaseLost as error:
            await attempt.lose(error)
            raise
        except asyncio.CancelledError:
            if not job.cancel_requested():
                raise  # the worker stops: another one goes on with this job
            with contextlib.suppress(Exception):  # the lease ends by itself
                await asyncio.shield(attempt.end("cancelled"))
            raise
        except DatabaseRefused as error:  # another attempt would be refused, too
            with contextlib.suppress(DatabaseUnavailable):  # as this is, maybe: then the next run notes it
                await attempt.end("failed", error)
            raise
        except (*OUTAGES, RunLater, RetryAfter) as error:
            await attempt.wait(error)
            raise
        except Exception as error:
            await attempt.end("failed", error)
            raise
        return SyncOutcome(sync=sync.name, state="done", streams=done, seconds=round(time.monotonic() - began, 3))

    async def _take(self, database: Database, sync: Sync, job: JobContext) -> Lease | Busy:
        """Take the lock. A job that somebody cancelled while it waited may have kept it, and does not go on."""
        taken = await database.write(lambda connection: LEASES.take(connection, sync.name, job.id))
        if isinstance(taken, Lease) or not await self._has_ended(taken.holder):
            return taken
        lost = taken.holder
        await database.write(lambda connection: LEASES.free(connection, lost, sync.name))
        await database.write(lambda connection: end_lost_run(connection, lost, "its job has ended while it waited"))
        return await database.write(lambda connection: LEASES.take(connection, sync.name, job.id))

    async def abandon(self, job_id: str, definitions: Iterable[Definition], why: str | None = None) -> None:
        """Release the lock that an earlier attempt of a job has kept.

        `why` says why its next attempt is refused; without it, the job was cancelled while it waited.
        """

        def leave(connection: Connection) -> None:
            LEASES.free(connection, job_id)
            if why is None:
                note_run(connection, job_id, "cancelled")
            else:
                end_lost_run(connection, job_id, why)

        for database in {self._destinations.database(one.sync) for one in definitions}:
            with contextlib.suppress(DatabaseUnavailable):  # the lease ends by itself
                await database.write(leave)

    def source(self, definition: Definition) -> Source:
        """Make the source of a sync."""
        return self._make_source(definition)

    @property
    def destinations(self) -> Destinations:
        """Where syncs write."""
        return self._destinations

    @property
    def keep_ms(self) -> int:
        """For how long runs are listed."""
        return self._keep_ms


class _Attempt:
    """One attempt of a run, which has the lock."""

    def __init__(
        self, runner: Runner, job: JobContext, definition: Definition, held: Lease, database: Database
    ) -> None:
        self._runner = runner
        self._job = job
        self._definition = definition
        self._sync = definition.sync
        self._held = held
        self._database = database
        self._counts: dict[str, Counts] = {}

    async def run(self, streams: Sequence[Stream], *, full: bool) -> dict[str, StreamOutcome]:
        expected = await self._database.write(self._begin)
        await self._forget_old()
        progress = Progress(self._job, {one.name: expected.get(one.name, 0) for one in streams if expected})
        source = self._runner.source(self._definition)
        done: dict[str, StreamOutcome] = {}
        failed: dict[str, SyncFailed] = {}
        try:
            async with self._held.renewing(self._database):
                for stream in streams:
                    if stream.parent is not None and stream.parent.stream in failed:
                        continue  # its parents are not complete
                    try:
                        done[stream.name] = await self._run_stream(stream, source, progress, full)
                    except SyncFailed as error:
                        log.warning("sync %s, stream %s failed: %s", self._sync.name, stream.name, error)
                        failed[stream.name] = error
        finally:
            await source.close()
        if failed:
            raise _failure(failed)
        await self._database.write(lambda c: note_run(c, self._job.id, "done", self._counts))
        await self._database.write(self._held.release)
        return done

    def _begin(self, connection: Connection) -> dict[str, int]:
        """Note the run. Return how many records the streams had that are read as a whole."""
        self._held.fence(connection)
        begin_run(connection, self._job.id, self._sync.name)
        whole = {one.name for one in self._sync.streams if one.mode is Mode.FULL_REFRESH}
        states = all_of(connection, self._sync.name)
        return {name: state.counts.received for name, state in states.items() if name in whole}

    async def _forget_old(self) -> None:
        """Forget old runs and rejected records. If that fails, the sync goes on."""
        try:
            await self._database.write(lambda connection: forget_old(connection, self._runner.keep_ms))
        except (DatabaseUnavailable, DBAPIError) as error:
            log.warning("sync %s: old runs were not forgotten: %s", self._sync.name, error)

    async def _run_stream(self, stream: Stream, source: Source, progress: Progress, full: bool) -> StreamOutcome:
        writer = self._runner.destinations.writer(self._sync, stream, self._held, self._job)

        def report(name: str, counts: Counts) -> None:
            self._counts[name] = counts
            progress.see(name, counts)

        one = StreamPass(
            self._sync,
            stream,
            source=source,
            database=self._database,
            held=self._held,
            writer=writer,
            run=self._job.id,
            report=report,
            began=progress.begin,
        )
        try:
            counts = await one.run(is_full=True if full or stream.mode is Mode.FULL_REFRESH else None)
        except DatabaseUnavailable:
            raise
        except DBAPIError as error:
            raise SyncFailed(f"the database refuses: {str(error.orig).partition(chr(10))[0]}") from error
        finally:
            self._counts[stream.name] = one.counts
        progress.report(stream.name)
        return StreamOutcome.of(counts, files=await writer.files(), ignored=sorted(writer.ignored))

    async def end(self, state: str, error: Exception | None = None) -> None:
        """Note that the run has failed or was cancelled, and give up the lock. Its successor notes that otherwise."""
        said = None if error is None else str(error)

        def end(connection: Connection) -> None:
            self._held.fence(connection)
            note_run(connection, self._job.id, state, self._counts, said)
            self._held.release(connection)

        with contextlib.suppress(LeaseLost):
            await self._database.write(end)

    async def lose(self, error: LeaseLost) -> None:
        """Note that another run has the lock; but if that is another attempt of this job, it goes on."""
        said = str(error)

        def lose(connection: Connection) -> None:
            holder = LEASES.holder(connection, self._sync.name)
            if holder is None or holder.holder != self._job.id:
                end_lost_run(connection, self._job.id, said)

        with contextlib.suppress(DatabaseUnavailable):
            await self._database.write(lose)

    async def wait(self, error: Exception) -> None:
        """Keep the lock until the next attempt of this job, which takes it over."""
        lease = _OUTAGE_MS
        if isinstance(error, RunLater):
            lease = round(error.seconds * 1000) + LEASES.lasting_ms
        said = str(error) if isinstance(error, CeleriacError) else None

        def wait(connection: Connection) -> None:
            self._held.fence(connection, for_ms=lease)
            note_run(connection, self._job.id, "waiting", self._counts, said)

        with contextlib.suppress(DatabaseUnavailable, LeaseLost):  # it may be what the attempt has ended for
            await self._database.write(wait)


def chosen_streams(sync: Sync, names: Sequence[str] | None) -> list[Stream]:
    """Return the streams of these names, or all, parents before their children.

    Raises:
        UnknownSync: the sync has none of that name.
    """
    for name in names or ():
        if sync.stream(name) is None:
            known = ", ".join(one.name for one in sync.streams)
            raise UnknownSync(f"the sync {sync.name!r} has no stream {name[:100]!r}; it has: {known}")
    return [one for one in sync.in_order() if not names or one.name in names]


def _failure(failed: dict[str, SyncFailed]) -> SyncFailed:
    """Return the one error, or one that names them all."""
    errors = list(failed.values())
    if len(errors) == 1:
        return errors[0]
    return SyncFailed(f"{len(errors)} streams failed: " + "; ".join(f"{error}" for error in errors))
