"""The lock of a policy: a lease, with a token by which the database refuses whoever has lost it.

All functions take the connection of a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from celeriac.database.clock import now_ms
from celeriac.families.cleanup.errors import LeaseLost
from celeriac.families.cleanup.tables import lock_table

_l = lock_table.c

#: How long a lease is respected without a sign of its holder.
LEASE_MS = 60_000


class Paused(Exception):
    """Somebody has paused the policy. Nothing more may be committed."""


@dataclass(frozen=True, slots=True)
class Held:
    """Another job works on the policy."""

    holder: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a policy. `position` is where to go on."""

    policy: str
    holder: str
    token: int
    position: str | None


def acquire(connection: Connection, policy: str, job_id: str, digest: str) -> Lease | Held:
    """Take the policy's lock. The job that has it already takes it over at once: its worker is gone.

    A position of a policy that has changed since is forgotten.

    Raises:
        Paused: the policy is paused.
    """
    ensure_row(connection, policy)
    free = or_(_l.holder.is_(None), _l.until < now_ms(), _l.holder == job_id)
    taken = connection.execute(
        update(lock_table)
        .where(_l.policy == policy, free, _l.paused.is_(False))
        .values(token=_l.token + 1, holder=job_id, until=now_ms() + LEASE_MS)
    )
    row = connection.execute(select(lock_table).where(_l.policy == policy)).one()
    if taken.rowcount != 1:
        if row.paused:
            raise Paused
        return Held(str(row.holder))
    position = row.position
    if row.digest != digest:
        position = None
        connection.execute(update(lock_table).where(_l.policy == policy).values(position=None, digest=digest))
    return Lease(policy, job_id, int(row.token), position)


def fence(connection: Connection, lease: Lease, position: str | None, *, for_ms: int = LEASE_MS) -> None:
    """Commit only what the holder of the lease does, and the position with it. The lease is renewed.

    Raises:
        LeaseLost: somebody else has the lock.
        Paused: the policy is paused.
    """
    still = connection.execute(
        update(lock_table)
        .where(_l.policy == lease.policy, _l.token == lease.token, _l.paused.is_(False))
        .values(until=now_ms() + for_ms, position=position)
    )
    if still.rowcount != 1:
        row = connection.execute(select(_l.paused).where(_l.policy == lease.policy)).one_or_none()
        if row is not None and row.paused:
            raise Paused
        raise LeaseLost(f"another worker has taken over the policy {lease.policy}")


def renew(connection: Connection, lease: Lease) -> None:
    """Prolong a lease that is still held, and no shorter than it is."""
    due = (_l.policy == lease.policy) & (_l.token == lease.token) & (_l.until < now_ms() + LEASE_MS)
    connection.execute(update(lock_table).where(due).values(until=now_ms() + LEASE_MS))


def release(connection: Connection, lease: Lease, *, at_end: bool) -> None:
    """Give the lock back, if it is still ours. A run that is `at_end` has looked at every row.

    Raises:
        LeaseLost: somebody else has it, and the run is not at its end.
    """
    values: dict[str, Any] = {"holder": None, "until": now_ms()} | ({"position": None} if at_end else {})
    ours = update(lock_table).where(_l.policy == lease.policy, _l.token == lease.token)
    if connection.execute(ours.values(values)).rowcount != 1:
        raise LeaseLost(f"another worker has taken over the policy {lease.policy}")


def release_of(connection: Connection, policy: str, job_id: str) -> None:
    """Give back the lock of a job that does not run any more."""
    connection.execute(
        update(lock_table)
        .where(_l.policy == policy, _l.holder == job_id)
        .values(holder=None, until=now_ms(), token=_l.token + 1)
    )


def pause(connection: Connection, policy: str, *, force: bool) -> str | None:
    """Let nothing more be committed, and return the job that works on the policy, if one does.

    Args:
        connection: of a transaction.
        policy: its name.
        force: take the lock away as well. A worker that hangs cannot go on even after the policy is resumed.
    """
    ensure_row(connection, policy)
    connection.execute(update(lock_table).where(_l.policy == policy).values(paused=True))
    holder = connection.execute(select(_l.holder).where(_l.policy == policy)).scalar_one()
    if force:
        free = update(lock_table).where(_l.policy == policy)
        connection.execute(free.values(token=_l.token + 1, holder=None, until=now_ms()))
    return holder


def resume(connection: Connection, policy: str) -> None:
    """Allow runs again."""
    connection.execute(update(lock_table).where(_l.policy == policy).values(paused=False))


def ensure_row(connection: Connection, policy: str) -> None:
    """Create the lock's row if need be. Others may do so at the same time."""
    if connection.execute(select(_l.policy).where(_l.policy == policy)).scalar() is not None:
        return
    try:
        with connection.begin_nested():
            fresh = {"policy": policy, "token": 0, "until": 0, "paused": False, "digest": ""}
            connection.execute(insert(lock_table).values(fresh))
    except IntegrityError:
        pass
