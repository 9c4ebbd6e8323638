"""The lock of a sync: one run at a time, and whoever has lost it cannot write any more.

It is a row in the destination's database. Each commit of a run first renews that row by its fencing token, in its own
transaction. A run that was paused for long, and is no longer the holder, finds no such row: it rolls back.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, insert, or_, select, update

from celeriac.database.clock import now_ms
from celeriac.families.sync.errors import LeaseLost
from celeriac.families.sync.tables import lock_table as locks

#: How long a lock is respected without a sign of its holder. The holder's own job takes it over at once.
LEASE_MS = 120_000

_renewal = (
    update(locks)
    .where(locks.c.sync == bindparam("of_sync"), locks.c.token == bindparam("of_token"))
    .values(until=now_ms() + bindparam("lease"))
)


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that was taken."""

    sync: str
    token: int

    def fence(self, connection: Connection, lease_ms: int = LEASE_MS) -> None:
        """Renew the lock, in the transaction of what it protects.

        Raises:
            LeaseLost: another run has it.
        """
        given = {"of_sync": self.sync, "of_token": self.token, "lease": lease_ms}
        if connection.execute(_renewal, given).rowcount != 1:
            raise LeaseLost(f"another run of the sync {self.sync!r} has taken over; this one has written nothing since")

    def release(self, connection: Connection) -> None:
        """Let others have it at once. Do nothing if they do already."""
        _free(connection, (locks.c.sync == self.sync) & (locks.c.token == self.token))


@dataclass(frozen=True, slots=True)
class Busy:
    """Who has the lock instead, and for how many milliseconds at least."""

    holder: str
    left_ms: int


def take(connection: Connection, sync: str, holder: str) -> Held | Busy:
    """Take the lock of a sync, unless another job has it. A new attempt of the job that has it gets it at once."""
    free = or_(locks.c.holder == holder, locks.c.until <= now_ms())
    taking = (
        update(locks)
        .where(locks.c.sync == sync, free)
        .values(token=locks.c.token + 1, holder=holder, until=now_ms() + LEASE_MS)
    )
    if connection.execute(taking).rowcount == 1:
        return Held(sync, connection.execute(select(locks.c.token).where(locks.c.sync == sync)).scalar_one())
    current = connection.execute(select(locks.c.holder, locks.c.until - now_ms()).where(locks.c.sync == sync)).first()
    if current is not None:
        return Busy(*current)
    # Of two that come first at the same time, the unique key refuses one: it is in the way, and looks again.
    connection.execute(insert(locks).values(sync=sync, token=1, holder=holder, until=now_ms() + LEASE_MS))
    return Held(sync, 1)


def release_of(connection: Connection, holder: str) -> None:
    """Release whatever a job holds that will not run any more."""
    _free(connection, locks.c.holder == holder)


def holder_of(connection: Connection, sync: str) -> Busy | None:
    """Return who has the lock now, if anybody."""
    query = select(locks.c.holder, locks.c.until - now_ms()).where(locks.c.sync == sync, locks.c.until > now_ms())
    found = connection.execute(query).first()
    return Busy(*found) if found is not None else None


def release(connection: Connection, sync: str, holder: str) -> None:
    """Free the lock that a job has kept which will not go on: it was cancelled while it waited, say."""
    _free(connection, (locks.c.sync == sync) & (locks.c.holder == holder))


def _free(connection: Connection, those: ColumnElement[bool]) -> None:
    """End leases. The next token ends what a worker may still do that was given up and lives."""
    connection.execute(update(locks).where(those).values(until=0, token=locks.c.token + 1))
