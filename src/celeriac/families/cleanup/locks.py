"""The lock of a policy: a lease, the place where the next chunk begins, and whether the policy is paused.

All functions take the connection of a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from celeriac.core.errors import LeaseLost
from celeriac.database import leases
from celeriac.database.leases import Busy, Leases
from celeriac.families.cleanup.tables import lock_table

_l = lock_table.c

#: The right to work on a policy. Each chunk wants it.
LEASES = Leases(lock_table, what="the policy", lasting_ms=60_000)


class Paused(Exception):
    """Somebody has paused the policy. Nothing more may be committed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a policy. `position` is where to go on."""

    held: leases.Lease
    position: str | None

    @property
    def policy(self) -> str:
        """The policy's name."""
        return self.held.name


def acquire(connection: Connection, policy: str, job_id: str, digest: str) -> Lease | Busy:
    """Take the policy's lock. The job that has it already takes it over at once: its worker is gone.

    A position of a policy that has changed since is forgotten.

    Raises:
        Paused: the policy is paused. The caller's transaction is rolled back, so nothing is taken.
    """
    taken = LEASES.take(connection, policy, job_id)
    row = connection.execute(select(_l.paused, _l.position, _l.digest).where(_l.policy == policy)).one()
    if row.paused:
        raise Paused
    if isinstance(taken, Busy) or row.digest == digest:
        return taken if isinstance(taken, Busy) else Lease(taken, row.position)
    connection.execute(update(lock_table).where(_l.policy == policy).values(position=None, digest=digest))
    return Lease(taken, None)


def fence(connection: Connection, lease: Lease, position: str | None, *, for_ms: int | None = None) -> None:
    """Commit only what the holder of the lease does, and the position with it. The lease is renewed.

    Raises:
        LeaseLost: somebody else has the lock.
        Paused: the policy is paused.
    """
    try:
        lease.held.fence(connection, for_ms=for_ms, only_if=_l.paused.is_(False), position=position)
    except LeaseLost:
        if connection.execute(select(_l.paused).where(_l.policy == lease.policy)).scalar():
            raise Paused from None
        raise


def release(connection: Connection, lease: Lease, *, at_end: bool) -> None:
    """Give the lock back. A run that is `at_end` has looked at every row.

    Raises:
        LeaseLost: somebody else has it.
    """
    lease.held.fence(connection, **({"position": None} if at_end else {}))
    lease.held.release(connection)


def pause(connection: Connection, policy: str, *, force: bool) -> str | None:
    """Let nothing more be committed, and return the job that works on the policy, if one does.

    Args:
        connection: of a transaction.
        policy: its name.
        force: take the lock away as well. A worker that hangs cannot go on even after the policy is resumed.
    """
    LEASES.ensure(connection, policy)
    connection.execute(update(lock_table).where(_l.policy == policy).values(paused=True))
    holder = connection.execute(select(_l.holder).where(_l.policy == policy)).scalar_one()
    if force:
        LEASES.take_away(connection, policy)
    return holder


def resume(connection: Connection, policy: str) -> None:
    """Allow runs again."""
    connection.execute(update(lock_table).where(_l.policy == policy).values(paused=False))
