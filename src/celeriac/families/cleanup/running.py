"""A run: chunk after chunk, children before the rows to which they refer, each archived before it is deleted.

A chunk is read without locks, archived, and then deleted by one transaction that finds the rows unchanged. It commits
the lease, the place to go on, and the audit with them. Whatever is killed when, a row is in its table or in the
archive, and the audit says which.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from celeriac.core.errors import LeaseLost, LockTimedOut, RunLater
from celeriac.database.engine import Database
from celeriac.families.cleanup import chunks, locks
from celeriac.families.cleanup.ahead import ReadAhead
from celeriac.families.cleanup.archives_model import Archive, Member
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.changes import Renewal
from celeriac.families.cleanup.chunks import Chunk, ChunkChanged, ChunkKept, ChunkReferred, Guard
from celeriac.families.cleanup.errors import ChunkUnstable, RowsKept, RowsReferred
from celeriac.families.cleanup.filing import Filing
from celeriac.families.cleanup.keys import read_position, write_key, write_position
from celeriac.families.cleanup.locks import Lease
from celeriac.families.cleanup.pace import Pace
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.records import Entry, OpenRun, RunState
from celeriac.families.cleanup.settled import settled
from celeriac.families.cleanup.statements import Key, Parameters, Row, Statements
from celeriac.families.cleanup.work import Gate, Plan, Stop

#: How often the same chunk is read again because its rows change, or are locked, before the run gives up for now.
_MOST_REPEATS = 30
_MOST_REFUSED = 3
_REFERRED = (
    "rows that stay refer to rows of {table}, or of tables that refer to it, so that these cannot go: leave them out "
    "of the condition"
)
_REPEAT_PAUSE_S = 0.05
#: A wait that is longer than this gives the job's slot back.
_LONGEST_PAUSE_S = 5.0


@dataclass(slots=True, kw_only=True)
class Cleaning:
    """The work of one process on one run."""

    database: Database
    plan: Plan
    lease: Lease
    run: OpenRun
    filing: Filing
    gates: Sequence[Gate]
    renewal: Renewal | None
    tell: Callable[[int], None] = lambda done: None
    chunks: int = 0
    repeated: int = 0
    _ahead: ReadAhead = field(default_factory=ReadAhead)
    _paces: dict[str, Pace] = field(default_factory=dict[str, Pace])
    _began: float = field(default_factory=time.monotonic)
    _rows: int = 0
    _roots: int = 0
    _number: int = 0
    _position: str | None = None
    _partition: str | None = None

    def __post_init__(self) -> None:
        self._position, self._number = self.lease.position, self.run.next_number

    async def go_within(self, partition: TableName) -> RunState:
        """Work on the rows of one partition of the policy's table, as `go` does on all of them."""
        whole, self.plan, self._partition = self.plan, self.plan.within(partition), str(partition)
        if read_position(self._position)[1] != self._partition:
            self._position = write_position(None, self._partition)
        try:
            return await self.go()
        finally:
            self.plan, self._partition = whole, None

    async def go(self) -> RunState:
        """Work until nothing is left, or something says stop.

        Raises:
            RunLater: there is to be a pause, or the window is closed.
            LeaseLost: another worker has taken over.
            ChunkUnstable: rows change, or stay locked, all the time.
        """
        has_removed = self._position is not None
        root = self.plan.root
        try:
            while True:
                removed = await self._next_root()
                if removed is None:
                    if not (root.own and has_removed):
                        return RunState.DONE
                    has_removed, self._position = False, None  # what waited for rows that are gone now
                has_removed = has_removed or bool(removed)
        except Stop as stop:
            return stop.state
        except locks.Paused:
            return RunState.PAUSED
        finally:
            await self._ahead.drop()

    async def _next_root(self) -> int | None:
        """Do the next chunk of the policy's table, with all that refers to it. Return its rows, or None at the end."""
        statements, root = self.plan.of_root(), self.plan.root
        condition = self.plan.condition(self.run.cutoff_ms)
        for repeat in range(_MOST_REPEATS):
            await self.wait()
            rows = await self._next_rows(statements, condition)
            if not rows:
                return None
            try:
                return await self._root(rows, condition)
            except (ChunkReferred, ChunkKept) as error:
                if repeat >= _MOST_REFUSED:
                    kept = isinstance(error, ChunkKept)
                    raise (
                        RowsKept(str(error)) if kept else RowsReferred(_REFERRED.format(table=root.shape.shown))
                    ) from error
                await self._repeat(root, repeat)
            except ChunkChanged:
                await self._repeat(root, repeat)
        raise ChunkUnstable(f"rows of {root.shape.shown} change, or are locked, all the time; the last chunk is undone")

    async def _next_rows(self, statements: Statements, condition: Parameters) -> Sequence[Row]:
        limit = self._limit(self._pace(self.plan.root).size)
        rows = await self._ahead.take(self._position)
        if rows is not None:
            return rows
        return await self._read(statements, condition, limit, read_position(self._position)[0])

    async def _root(self, rows: Sequence[Row], condition: Parameters) -> int:
        statements, root = self.plan.of_root(), self.plan.root
        keys = statements.keys(rows)
        position = write_position(keys[-1], self._partition)
        if self.plan.to_files and not root.children and not root.own and self.plan.policy.budget.rows is None:
            size = self._pace(root).size
            self._ahead.start(position, self._read(statements, condition, size, keys[-1]))
        among = condition | statements.given_keys(keys)
        await self._children(root, rows, Guard(statements, keys, among))
        if self.plan.policy.budget.rows is not None and (left := self._limit(len(rows))) < len(rows):
            rows, keys = rows[:left], keys[:left]  # rows of children have used up the rest
            among, position = condition | statements.given_keys(keys), write_position(keys[-1], self._partition)
        changed = await self._commit(root, rows, keys, among, position=position)
        self._position = position
        self._roots += len(rows)
        self.tell(self._roots)
        return changed

    async def _children(self, parent: Step, rows: Sequence[Row], guard: Guard) -> None:
        """Do away with all rows that refer to `rows`."""
        for child in parent.children:
            statements = self.plan.statements[child.path]
            keys = self.plan.statements[parent.path].reading.pick(rows, statements.link.to_columns)
            parents = statements.given_parents(statements.link.columns, keys)
            while await self._pass_of_children(child, statements, parents, guard) and child.own:
                pass  # rows that others of their table referred to have waited

    async def _pass_of_children(self, child: Step, statements: Statements, parents: Parameters, guard: Guard) -> int:
        removed, after = 0, None
        while True:
            await self.wait()
            rows = await self._read(statements, parents, self._limit(self._pace(child).size), after)
            if not rows:
                return removed
            await self._children(child, rows, guard)
            if self.plan.policy.budget.rows is not None:
                rows = rows[: self._limit(len(rows))]
            keys = statements.keys(rows)
            among = statements.given_keys(keys)
            await self._commit(child, rows, keys, among, position=self._position, guard=guard)
            removed, after = removed + len(rows), keys[-1]

    async def _commit(
        self,
        step: Step,
        rows: Sequence[Row],
        keys: Sequence[Key],
        parameters: Parameters,
        *,
        position: str | None,
        guard: Guard | None = None,
    ) -> int:
        """Archive a chunk and delete it, or change its rows. Return how many."""
        archive = await self.filing.of(step) if self.plan.to_files else None
        member = await archive.append(self.plan.statements[step.path].reading.for_archive(rows)) if archive else None
        entry = self._entry(step, keys, member)
        chunk = self._chunk(step, rows, parameters, entry, position, guard)
        began = time.monotonic()
        try:
            changed = await settled(self.database.write(lambda connection: chunks.commit(connection, chunk)))
        except (ChunkChanged, locks.Paused, LeaseLost):  # the transaction was rolled back, and the archive follows
            await _take_back(archive, member)
            raise
        except LockTimedOut as error:  # of any other error, it may be committed: only the audit knows
            await _take_back(archive, member)
            raise ChunkChanged from error
        self._pace(step).took(1000 * (time.monotonic() - began), len(rows))
        self.chunks += 1
        self._rows += changed
        self._number += 1
        return changed

    def _entry(self, step: Step, keys: Sequence[Key], member: Member | None) -> Entry:
        return Entry(
            number=self._number,
            step=step.path,
            action=self.plan.policy.action,
            rows=len(keys),
            first_key=write_key(keys[0]),
            last_key=write_key(keys[-1]),
            sql_sha256=self.plan.statements[step.path].sha256,
            member=member,
        )

    def _chunk(
        self,
        step: Step,
        rows: Sequence[Row],
        parameters: Parameters,
        entry: Entry,
        position: str | None,
        guard: Guard | None,
    ) -> Chunk:
        return Chunk(
            lease=self.lease,
            run_id=self.run.id,
            statements=self.plan.statements[step.path],
            children=self.plan.children(step),
            rows=rows,
            parameters=parameters,
            position=position,
            entry=entry,
            guard=guard,
            renew=self.renewal,
            moved_to=self.plan.moved_to,
        )

    async def _read(self, statements: Statements, where: Parameters, limit: int, after: Key | None) -> list[Row]:
        """Read the next rows of a table."""
        if statements.step.link is None:
            statement = statements.read_first if after is None else statements.read_next
        else:
            statement = statements.read_first_children if after is None else statements.read_next_children
        parameters = where | {"celeriac_limit": limit} | (statements.wording.after_parameters(after) if after else {})
        return await self.database.read(lambda connection: chunks.read(connection, statements, statement, parameters))

    def _pace(self, step: Step) -> Pace:
        if step.path not in self._paces:
            chunk, wording = self.plan.policy.chunk, self.plan.statements[step.path].wording
            most = min(chunk.rows, wording.most_rows(len(step.shape.key)) or chunk.rows)
            self._paces[step.path] = Pace(most=most, target_ms=chunk.target_ms)
        return self._paces[step.path]

    def _limit(self, size: int) -> int:
        """Return how many rows the budget has room for, up to `size`."""
        budget = self.plan.policy.budget
        spent_s = self.run.done_ms / 1000 + time.monotonic() - self._began
        if budget.seconds is not None and spent_s >= budget.seconds:
            raise Stop(RunState.BUDGET)
        if budget.rows is None:
            return size
        left = budget.rows - self.run.rows - self._rows
        if left <= 0:
            raise Stop(RunState.BUDGET)
        return min(size, left)

    async def wait(self) -> None:
        """Wait while something wants a pause. Nothing is open meanwhile, but the archives."""
        if self.gates:
            await self._ahead.settle()
        for gate in self.gates:
            while (hold := await gate()) is not None:
                longer = locks.LEASES.lasting_ms + round(1000 * hold.seconds)
                await self.database.write(lambda c, ms=longer: locks.fence(c, self.lease, self._position, for_ms=ms))
                if hold.seconds > _LONGEST_PAUSE_S:
                    raise RunLater(hold.seconds, hold.reason)
                await asyncio.sleep(hold.seconds)

    async def _repeat(self, step: Step, repeat: int) -> None:
        self.repeated += 1
        self._pace(step).slow_down()
        await asyncio.sleep(_REPEAT_PAUSE_S * min(repeat, 20))


async def _take_back(archive: Archive | None, member: Member | None) -> None:
    if archive is not None and member is not None:
        await archive.truncate(member)
