"""Leases: whoever works on something alone holds a row for it, in the database that the work changes.

A lease ends by itself when its holder gives no sign for long. Each taking gives the row a greater token, and each
transaction of the work begins with `fence`, which wants the token of its own lease. So a worker that hung, and has lost
its lease meanwhile, commits nothing any more, whatever its clock says.

All functions but `renewing` take the connection of a transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    bindparam,
    case,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from celeriac.core.errors import LeaseLost
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.database.prepared import Prepared

log = logging.getLogger("celeriac")


def lease_columns() -> tuple[Column[Any], ...]:
    """Return what a table of leases has beside its key, which is a name.

    `holder` is a job's id, and NULL after a release. `until` is a moment of the database's clock, in milliseconds.
    """
    return (
        Column("token", BigInteger, nullable=False),
        Column("holder", String(128)),
        Column("until", BigInteger, nullable=False),
    )


@dataclass(frozen=True, slots=True)
class Busy:
    """Who holds the lease instead, and for how many milliseconds at least."""

    holder: str
    left_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on what `name` names. Its token is given once."""

    leases: Leases = field(repr=False, compare=False)
    name: str
    holder: str
    token: int

    def fence(
        self,
        connection: Connection,
        *,
        for_ms: int | None = None,
        only_if: ColumnElement[bool] | None = None,
        **values: Any,
    ) -> None:
        """Let the transaction commit only if the lease is still held, and renew it.

        Args:
            connection: of the transaction.
            for_ms: how long others respect the lease from now on, if not for as long as usual.
            only_if: what has to be true of the row besides.
            values: of further columns of the row.

        Raises:
            LeaseLost: somebody else has taken it, or it was taken away.
        """
        lasting = self.leases.lasting_ms if for_ms is None else for_ms
        if only_if is None and not values:
            given = {"of_name": self.name, "of_token": self.token, "lasting": lasting}
            is_held = self.leases.prolonging.run(connection, given) == 1
        else:
            is_held = self._change(connection, only_if, until=now_ms() + lasting, **values)
        if not is_held:
            raise LeaseLost(f"another worker has taken over {self}; this one has committed nothing since")

    def renew(self, connection: Connection) -> bool:
        """Prolong the lease, and make it no shorter than it is. Return whether it is still held."""
        until, usual = self.leases.table.c.until, now_ms() + self.leases.lasting_ms
        return self._change(connection, until=case((until > usual, until), else_=usual))

    def release(self, connection: Connection) -> None:
        """Let others take it at once. If they have done so already, do nothing."""
        self._change(connection, holder=None, until=0, token=self.token + 1)

    @contextlib.asynccontextmanager
    async def renewing(self, database: Database, every_s: float | None = None) -> AsyncGenerator[None]:
        """Renew the lease while the block runs: a part of the work may take longer than the lease lasts."""
        pause_s = self.leases.lasting_ms / 4000 if every_s is None else every_s
        renewal = asyncio.create_task(self._renew(database, pause_s), name="celeriac-lease")
        try:
            yield
        finally:
            renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewal

    def __str__(self) -> str:
        return f"{self.leases.what} {self.name!r}"

    async def _renew(self, database: Database, pause_s: float) -> None:
        is_held = True
        while is_held:  # once it is lost, the next commit notices
            await asyncio.sleep(pause_s)
            try:
                is_held = await database.write(self.renew)
            except Exception as error:  # the next commit fails as well, or it has passed until then
                log.warning("the lease of %s was not renewed: %s", self, error)

    def _change(self, connection: Connection, only_if: ColumnElement[bool] | None = None, **values: Any) -> bool:
        ours = (self.leases.key == self.name) & (self.leases.table.c.token == self.token)
        changing = update(self.leases.table).where(ours, true() if only_if is None else only_if).values(values)
        return connection.execute(changing).rowcount == 1


class Leases:
    """The leases in one table: its key is one column of names, and `lease_columns` are among its others."""

    def __init__(self, table: Table, *, what: str, lasting_ms: int) -> None:
        """
        Args:
            table: where they are. Columns of its own have defaults.
            what: the kind of what is worked on, for messages, such as "the sync".
            lasting_ms: how long a lease is respected without a sign of its holder.
        """
        self.table = table
        self.what = what
        self.lasting_ms = lasting_ms
        (self.key,) = table.primary_key.columns
        ours = (self.key == bindparam("of_name")) & (table.c.token == bindparam("of_token"))
        until = now_ms() + bindparam("lasting", type_=BigInteger)
        #: The statement of most fences.
        self.prolonging = Prepared(update(table).where(ours).values(until=until))

    def take(self, connection: Connection, name: str, holder: str) -> Lease | Busy:
        """Take a lease, unless another job holds it. The job that holds it gets it at once: its worker is gone."""
        c = self.table.c
        free = or_(c.holder == holder, c.holder.is_(None), c.until <= now_ms())
        values = {"token": c.token + 1, "holder": holder, "until": now_ms() + self.lasting_ms}
        taking = update(self.table).where(self.key == name, free).values(values)
        while connection.execute(taking).rowcount != 1:
            busy = self.holder(connection, name)
            if busy is not None:
                return busy
            self.ensure(connection, name)
        token = connection.execute(select(c.token).where(self.key == name)).scalar_one()
        return Lease(self, name, holder, int(token))

    def holder(self, connection: Connection, name: str) -> Busy | None:
        """Return who holds a lease now, if anybody."""
        c = self.table.c
        query = select(c.holder, c.until - now_ms()).where(self.key == name, c.until > now_ms(), c.holder.is_not(None))
        found = connection.execute(query).first()
        return None if found is None else Busy(found[0], max(0, int(found[1])))

    def free(self, connection: Connection, holder: str, name: str | None = None) -> None:
        """Give back the lease of that name, or all that a job holds: it will not go on."""
        those = self.table.c.holder == holder
        self._free(connection, those if name is None else those & (self.key == name))

    def take_away(self, connection: Connection, name: str) -> None:
        """End a lease, whoever holds it. Its worker may hang: it commits nothing more."""
        self._free(connection, self.key == name)

    def ensure(self, connection: Connection, name: str) -> None:
        """Create a lease's row if need be. Others may do so at the same time."""
        if connection.execute(select(self.key).where(self.key == name)).first() is not None:
            return
        try:
            with connection.begin_nested():
                connection.execute(insert(self.table).values({self.key.name: name, "token": 0, "until": 0}))
        except IntegrityError:
            pass

    def _free(self, connection: Connection, those: ColumnElement[bool]) -> None:
        token = self.table.c.token + 1  # else the worker that was given up may still commit, if it lives
        connection.execute(update(self.table).where(those).values(holder=None, until=0, token=token))
