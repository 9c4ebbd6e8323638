"""One run of a policy from end to end: the lock, the plan, the work, and how it is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.core.context import JobContext
from celeriac.core.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    LeaseLost,
    RunLater,
    StorageFull,
    StorageUnavailable,
)
from celeriac.core.states import JobState
from celeriac.database.leases import Busy
from celeriac.families.cleanup import hints, locks, records
from celeriac.families.cleanup.archives_table import TableName, ensure_archive_table
from celeriac.families.cleanup.changes import Renewal, read_secrets
from celeriac.families.cleanup.errors import ChunkUnstable, CleanupRefused
from celeriac.families.cleanup.filing import Filing
from celeriac.families.cleanup.partitions_chosen import count_rows
from celeriac.families.cleanup.partitions_run import detach_partitions
from celeriac.families.cleanup.partitions_walk import clean_partitions
from celeriac.families.cleanup.places import Place
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.pruning import prune
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.running import Cleaning
from celeriac.families.cleanup.settled import settled
from celeriac.families.cleanup.telling import Teller
from celeriac.families.cleanup.work import ArchivedFile, Gate, Plan, RunResult, require_keys

log = logging.getLogger("celeriac")

#: What another try may find better.
PASSING = (DatabaseUnavailable, StorageUnavailable, StorageFull, ChunkUnstable, LeaseLost)
#: What a position depends on: it is forgotten when one of these changes.
_OF_POSITION = frozenset({"connection", "table", "where", "action", "columns", "partitions"})
LONGEST_ERROR = 2000


async def _unknown(job_id: str) -> JobState | None:
    return None


class Runner:
    """Runs policies, for the job and for tests."""

    def __init__(
        self,
        policy: Policy,
        place: Place,
        job: JobContext,
        gates: Sequence[Gate] = (),
        end_of: Callable[[str], Awaitable[JobState | None]] = _unknown,
    ) -> None:
        """`gates` are asked before each transaction. `end_of` says how a job has ended; None: it may go on."""
        self._end_of = end_of
        self._policy = policy
        self._place = place
        self._job = job
        self._gates = gates
        self._began = time.monotonic()

    async def run(self, who: str) -> RunResult:
        """Begin the run of this job, or go on with it.

        Raises:
            CleanupRefused: it cannot be done as it is. Nothing is changed.
            RunLater: it has to wait.
            LeaseLost, ChunkUnstable, DatabaseUnavailable, StorageUnavailable: another try goes on where it ended.
        """
        try:
            return await self._run(who)
        except DBAPIError as error:
            refused = _refused(error)
            await self._give_up(refused)
            raise refused from error
        except CleanupRefused as error:
            await self._give_up(error)
            raise

    async def _run(self, who: str) -> RunResult:
        database, policy = self._place.database, self._policy
        planned = await database.read(lambda c: self._place.plan(c, policy))
        secrets = await asyncio.to_thread(read_secrets, policy)
        digest = digest_of(policy)
        try:
            taken = await self._take(digest)
        except locks.Paused:
            await database.write(lambda c: self._let_go(c, who, digest))
            return self._nothing("paused", "the policy is paused")
        if isinstance(taken, Busy):
            await database.write(lambda c: records.end_lost_run(c, self._job.id, RunState.FAILED))
            return self._nothing("skipped", f"job {taken.holder} works on the policy")
        sql = json.dumps({path: list(map(str, one.main)) for path, one in planned.statements.items()})
        run = await database.write(lambda c: records.open_run(c, self._job.id, policy.name, who, digest, sql))
        filing = Filing(database, planned, run.id, self._place.archives)
        if planned.to_files:
            await filing.cut_earlier()
        cleaning = Cleaning(
            database=database,
            plan=planned,
            lease=taken,
            run=run,
            filing=filing,
            gates=self._gates,
            renewal=Renewal(policy, planned.of_root(), secrets) if policy.columns else None,
        )
        return await self._watched(cleaning)

    async def _take(self, digest: str) -> locks.Lease | Busy:
        """Take the lock. A job that has ended while it waited may have kept it, and does not go on."""
        database, name = self._place.database, self._policy.name
        taken = await settled(database.write(lambda c: locks.acquire(c, name, self._job.id, digest)))
        if not isinstance(taken, Busy) or (end := await self._end_of(taken.holder)) is None:
            return taken
        lost, is_cancelled = taken.holder, end is JobState.CANCELLED
        how = (RunState.CANCELLED, None) if is_cancelled else (RunState.FAILED, records.LOST)
        await database.write(lambda c: locks.LEASES.free(c, lost, name))
        await database.write(lambda c: records.end_lost_run(c, lost, *how))
        return await settled(database.write(lambda c: locks.acquire(c, name, self._job.id, digest)))

    async def _watched(self, cleaning: Cleaning) -> RunResult:
        """Do the work, and record how it ends."""
        try:
            async with cleaning.lease.held.renewing(self._place.database):
                state, files = await self._work(cleaning)
        except asyncio.CancelledError:
            await cleaning.filing.release()
            if self._job.cancel_requested():
                await self._end_early(cleaning, RunState.CANCELLED)
            raise  # else the worker stops, and another one goes on
        except RunLater as later:
            await cleaning.filing.release()
            await self._note_waiting(cleaning, later.reason)
            raise
        except LeaseLost:
            await cleaning.filing.release()
            raise
        except Exception as error:
            await cleaning.filing.release()
            if self._job.is_last_attempt or not isinstance(error, PASSING) or isinstance(error, DatabaseRefused):
                await self._end_early(cleaning, RunState.FAILED, f"{type(error).__name__}: {error}"[:LONGEST_ERROR])
            else:
                await self._note_waiting(cleaning, str(error)[:LONGEST_ERROR])
            raise
        return await self._end(cleaning, state, files)

    async def _work(self, cleaning: Cleaning) -> tuple[RunState, list[ArchivedFile]]:
        """
        Raises:
            CleanupRefused: or the database does not do what it is asked for: by its nature, not for now.
        """
        planned, database = cleaning.plan, self._place.database
        try:
            if planned.moved_to is not None:
                await database.write(lambda c: _ensure_archive(c, planned))
            await database.read(lambda c: require_keys(c, planned, cleaning.run.cutoff_ms))
            total = await database.read(lambda c: count_rows(c, planned, cleaning.run.cutoff_ms))
            cleaning.tell = Teller(self._job, total, await self._done_before(cleaning))
            if self._policy.partitions == "detach":
                return await detach_partitions(cleaning, self._place.archives)
            state = await (clean_partitions(cleaning) if self._policy.partitions else cleaning.go())
            return state, await cleaning.filing.complete() if planned.to_files else []
        except DBAPIError as error:
            raise _refused(error) from error

    async def _done_before(self, cleaning: Cleaning) -> int:
        """Return how many rows of the policy's table this run has done in other processes."""
        rows = await self._place.database.read(lambda c: records.counts(c, cleaning.run.id))
        if self._policy.partitions == "detach":
            return sum(rows.values())
        return rows.get(cleaning.plan.root.path, 0)

    async def _end(self, cleaning: Cleaning, state: RunState, files: list[ArchivedFile]) -> RunResult:
        rows = await settled(self._place.database.write(lambda c: self._write_end(c, cleaning, state)))
        taken = await self._place.database.read(lambda c: records.milliseconds(c, cleaning.run.id))
        before = 0 if self._policy.partitions == "detach" else cleaning.run.next_number - 1
        await prune(self._place.database, self._place.keeping)
        return RunResult(
            policy=self._policy.name,
            run=cleaning.run.id,
            state=state,
            rows=rows,
            chunks=before + cleaning.chunks,
            repeated_chunks=cleaning.repeated,
            seconds=taken / 1000,
            files=files,
            hints=await hints.after(self._place.database, cleaning.plan, rows),
        )

    async def _note_waiting(self, cleaning: Cleaning, why: str) -> None:
        """Record why the run waits, if the database is there. What has happened before is what counts."""
        with contextlib.suppress(DatabaseUnavailable, DBAPIError):
            await self._place.database.write(lambda c: records.note_waiting(c, cleaning.run, why, self._began))

    async def _end_early(self, cleaning: Cleaning, state: RunState, error: str | None = None) -> None:
        """Record the end as well as that is possible. What has gone wrong before is what counts."""
        try:
            if cleaning.plan.to_files:
                await cleaning.filing.complete()
        except Exception as another:
            log.warning("archives of run %s of %s are not complete: %s", cleaning.run.id, self._policy.name, another)
        try:
            await settled(self._place.database.write(lambda c: self._write_end(c, cleaning, state, error)))
        except Exception as another:
            log.warning("the end of run %s of %s is not recorded: %s", cleaning.run.id, self._policy.name, another)

    async def _give_up(self, error: CleanupRefused) -> None:
        """Record the end of what an earlier attempt has begun, if this one was refused before it went on with it."""
        database, job, name = self._place.database, self._job.id, self._policy.name
        says = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        try:
            await database.write(lambda c: locks.LEASES.free(c, job, name))
            await database.write(lambda c: records.end_lost_run(c, job, RunState.FAILED, says))
        except Exception as another:
            log.warning("the end of run %s of %s is not recorded: %s", job, name, another)

    def _write_end(
        self, connection: Connection, cleaning: Cleaning, state: RunState, error: str | None = None
    ) -> dict[str, int]:
        locks.release(connection, cleaning.lease, at_end=state is RunState.DONE)
        records.end_run(connection, cleaning.run, state, self._began, error)
        return records.counts(connection, cleaning.run.id)

    def _let_go(self, connection: Connection, who: str, digest: str) -> None:
        """Record that this job's run is paused, and give its lock back to the next one."""
        locks.LEASES.free(connection, self._job.id, self._policy.name)
        records.end_lost_run(connection, self._job.id, RunState.PAUSED)
        records.record_paused(connection, self._job.id, self._policy.name, who, digest)

    def _nothing(self, state: str, reason: str) -> RunResult:
        return RunResult(policy=self._policy.name, run=self._job.id, state=state, reason=reason)


def _refused(error: DBAPIError) -> CleanupRefused:
    """Say it with the first line of what the database says: others may show values."""
    return CleanupRefused(f"the database refuses a statement of the policy: {str(error.orig).splitlines()[0]}")


def _ensure_archive(connection: Connection, planned: Plan) -> None:
    """Create the table to which rows move, if need be.

    Raises:
        ArchiveRefused: it cannot take them.
    """
    target, shape = planned.moved_to, planned.root.shape
    if target is not None:
        ensure_archive_table(connection, TableName(shape.schema, shape.name), target, shape.key)


def digest_of(policy: Policy) -> str:
    """Return what tells policies apart whose positions mean something else."""
    return sha256(policy.model_dump_json(include=set(_OF_POSITION)).encode()).hexdigest()
