"""Detaches old partitions, after their rows are archived, and drops them.

A partition goes through these steps, each of which can be killed and is then taken up again:

1. Its rows are archived, block by block, while it is still a part of its table.
2. It is detached, without stopping others: `DETACH PARTITION … CONCURRENTLY`. What was left half done is finalised.
3. One transaction locks it, which nobody sees any more, and finds in it the rows that were archived. It drops the
   partition, and what is archived becomes part of the audit. If rows have changed meanwhile, they are archived again.

A partition that cannot go holds up no other one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from celeriac.core.errors import LockTimedOut
from celeriac.database.engine import Database
from celeriac.families.cleanup import locks
from celeriac.families.cleanup import partitions_records as kept
from celeriac.families.cleanup.archives import open_archive
from celeriac.families.cleanup.archives_model import Archive, ArchiveColumn, ArchiveFile, Format, Member
from celeriac.families.cleanup.errors import ArchiveDamaged, ArchiveRefused, TableRefused
from celeriac.families.cleanup.locks import Lease
from celeriac.families.cleanup.partitions import Partition
from celeriac.families.cleanup.partitions_drop import check_version, detach, drop, name_now
from celeriac.families.cleanup.partitions_records import UnderWay
from celeriac.families.cleanup.partitions_rows import PartitionRows, name_of_oid
from celeriac.families.cleanup.settled import settled

log = logging.getLogger("celeriac")

_MOST_ROUNDS = 5

T = TypeVar("T")
Wait = Callable[[], Awaitable[None]]
Tell = Callable[[int], None]


@dataclass(slots=True)
class Detached:
    """What came of it. `waiting` are partitions that others use; `failed` those that cannot go. Each has its reason."""

    dropped: dict[str, int] = field(default_factory=dict[str, int])
    files: list[tuple[str, ArchiveFile]] = field(default_factory=list[tuple[str, ArchiveFile]])
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    failed: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Detaching:
    """The work of one process on the partitions of a policy.

    Attributes:
        database: where they are.
        lease: of the policy.
        run_id: the run that the audit names.
        form: of archives; None: rows are not archived.
        folder: of archives.
        chunk_rows: about how many rows a transaction reads.
        wait: returns when the run may go on, or raises.
        tell: is called with the rows that are archived or dropped.
    """

    database: Database
    lease: Lease
    run_id: str
    form: Format | None
    folder: Path
    chunk_rows: int
    wait: Wait
    tell: Tell

    async def go(self, partitions: Sequence[Partition]) -> Detached:
        """Have them go, those that are under way first.

        Raises:
            LeaseLost, Paused: somebody else has the policy. What is under way stays so.
            DatabaseUnavailable, StorageUnavailable, StorageFull: another try goes on.
        """
        await self.database.read(check_version)
        begun = await self.database.read(lambda c: kept.under_way(c, self.lease.policy))
        found = Detached()
        for one in begun:
            await self._try(one.step, lambda one=one: self._finish(one, found), found)
        known = {one.oid for one in begun}
        for partition in partitions:
            if partition.oid not in known:
                shown = str(partition.table)
                await self._try(shown, lambda partition=partition: self._begin(partition, found), found)
        return found

    async def _try(self, shown: str, work: Callable[[], Awaitable[None]], found: Detached) -> None:
        await self.wait()
        try:
            await work()
        except LockTimedOut:
            found.waiting[shown] = "others use it, and its lock was not to be had"
        except (TableRefused, ArchiveRefused, ArchiveDamaged, SQLAlchemyError) as error:
            said = str(getattr(error, "orig", error)).splitlines()[0]
            log.warning("the partition %s cannot be detached and dropped: %s", shown, said)
            found.failed[shown] = said

    async def _begin(self, partition: Partition, found: Detached) -> None:
        if partition.is_half_detached:
            raise TableRefused(
                f"somebody else has begun to detach {partition.table}: ALTER TABLE {partition.parent} DETACH PARTITION "
                f"{partition.table} FINALIZE"
            )
        state: kept.State = "archiving" if self.form else "detaching"
        await self._write(lambda c: kept.begin(c, self.lease.policy, partition, state))
        begun = await self.database.read(lambda c: kept.under_way(c, self.lease.policy))
        await self._finish(next(one for one in begun if one.oid == partition.oid), found)

    async def _finish(self, one: UnderWay, found: Detached) -> None:
        """Take a partition from wherever it is to its end."""
        for _ in range(_MOST_ROUNDS):
            again = await self._round(one, found)
            if again is None:
                return
            one = again
        raise TableRefused(f"rows of {one.step} change all the time, though it is detached: something writes to it")

    async def _round(self, one: UnderWay, found: Detached) -> UnderWay | None:
        """Do what is left. Return the partition if it has to be archived once more; None: it is dropped."""
        if await self.database.read(lambda c: name_of_oid(c, one.oid)) is None:
            await self._write(lambda c: kept.forget(c, self.lease.policy, one.oid))
            raise TableRefused(f"somebody else has dropped {one.step}")
        whole = await self._archive(one) if one.state == "archiving" else one
        files = await self._completed(whole)
        await self._detach(whole)
        dropped = await self._write(lambda c: self._drop(c, whole))
        if dropped is None:
            return await self._again(whole)
        found.dropped[one.step] = dropped
        found.files += [(one.step, file) for file in files]
        if self.form is None:
            self.tell(dropped)
        return None

    async def _archive(self, one: UnderWay) -> UnderWay:
        """Archive the rows that come next, up to the last."""
        archive, rows = await self._opened(one)
        try:
            while True:
                await self.wait()
                piece = await self.database.read(lambda c, at=one.position: rows.piece(c, at))
                if piece.next is None:
                    return await self._advanced(replace(one, state="detaching"))
                member = await archive.append(piece.rows) if piece.rows else None
                rows_now, digest = one.rows + len(piece.rows), one.digest + piece.digest
                after = replace(one, position=piece.next, rows=rows_now, digest=digest)
                await self._archived(one, after, member)
                one = after
                self.tell(len(piece.rows))
        finally:
            await archive.release()

    async def _archived(self, before: UnderWay, after: UnderWay, member: Member | None) -> None:
        def record(connection: Connection) -> None:
            kept.advance(connection, self.lease.policy, after)
            if member is not None:
                kept.add_member(connection, self.lease.policy, after.oid, member, before.position, after.position)

        await self._write(record)

    async def _opened(self, one: UnderWay) -> tuple[Archive, PartitionRows]:
        assert self.form is not None
        rows = await self.database.read(lambda c: PartitionRows.of(c, one.oid, name_now(c, one), self.chunk_rows))
        committed = await self.database.read(lambda c: kept.members(c, self.lease.policy, one.oid))
        columns = [ArchiveColumn(name, kind) for name, kind in rows.columns.items()]
        name = f"{self.lease.policy}-partition-{one.oid}-{one.round}"
        return await open_archive(self.form, self.folder, name, columns, committed=committed), rows

    async def _completed(self, one: UnderWay) -> list[ArchiveFile]:
        """Read the archive once more. It is all there is of the rows, soon."""
        if self.form is None:
            return []
        archive, _ = await self._opened(one)
        return await archive.close()

    async def _advanced(self, one: UnderWay) -> UnderWay:
        await self._write(lambda c: kept.advance(c, self.lease.policy, one))
        return one

    async def _again(self, one: UnderWay) -> UnderWay:
        """Archive the rows anew: they changed after they were read. Now that it is detached, they change no more."""
        log.warning("rows of the partition %s have changed while they were archived: it is archived again", one.step)
        fresh = replace(one, state="archiving", round=one.round + 1, rows=0, digest=0, position="[]")

        def record(connection: Connection) -> None:
            kept.forget_members(connection, self.lease.policy, one.oid)
            kept.advance(connection, self.lease.policy, fresh)

        await self._write(record)
        return fresh

    async def _detach(self, one: UnderWay) -> None:
        await self._write(lambda connection: None)  # only who holds the lease detaches
        await detach(self.database, one)

    def _drop(self, connection: Connection, one: UnderWay) -> int | None:
        chunk_rows = self.chunk_rows if self.form else None
        rows = drop(connection, one, self.lease.policy, self.run_id, chunk_rows)
        if rows is not None:
            locks.fence(connection, self.lease, self.lease.position)  # to compare may have taken long
        return rows

    async def _write(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a transaction of who holds the lease."""

        def fenced(connection: Connection) -> T:
            locks.fence(connection, self.lease, self.lease.position)
            return function(connection)

        return await settled(self.database.write(fenced))
