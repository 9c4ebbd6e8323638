"""The ledger: what became of each recipient of a mailing, written down as it happens.

How a recipient is kept from getting a mail twice
-------------------------------------------------
A sender *claims* a recipient (`pending` becomes `sending`) in a committed transaction before it says anything
to the mail server, and commits the outcome before it goes on to the next. So of each sender at most one
recipient is in an unknown state at any time.

- Two senders on the same recipients (delivery of jobs is at least once): the claim is a compare-and-set, one
  of them gets the recipient, the other passes over it.
- A sender that dies: its claim expires after `Ledger.claim_seconds`, and whoever works on the range next
  takes over. A living sender renews its claim for as long as the mail server keeps it waiting. Expiry is measured
  by the database's clock.
- *The window*: between the server's 250 after DATA and the commit of `sent`, a crash loses the knowledge that
  the mail went out. That one recipient per connection stays `sending`, and is sent to again when the claim has
  expired: at least once, not at most once. The second mail carries the same Message-ID, by which receiving
  systems recognise it. SMTP has no way to close this window (RFC 1047).
- A recipient recorded as `sent` is never claimed again. With SQLite a commit survives the death of the process;
  after a power cut the last commits may be missing (`synchronous = NORMAL`), and those recipients count as not
  sent. With Postgres a commit survives both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from celeriac.core.background import background
from celeriac.core.errors import IdempotencyConflict, UnknownJob
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.email import statements as sql
from celeriac.families.email.model import (
    Counts,
    Mailing,
    OpenRecipient,
    Outcome,
    PermanentFailure,
    Recipient,
    RecipientOutcome,
    Sent,
    Status,
)
from celeriac.families.email.tables import mailing_table, recipient_table

_BATCH = 1000
_ABANDONED_MS = 3_600_000


class Ledger:
    """The ledger of all mailings in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, *, claim_seconds: float = 10.0) -> None:
        """`claim_seconds` is how long a claim holds unless it is renewed: longer than a sender may ever stall."""
        self._database = database
        self.claim_seconds = claim_seconds

    async def create(self, mailing: Mailing, recipients: Iterable[Recipient]) -> int:
        """Store a mailing with its recipients; returns how many. Nothing is to be seen of it if this fails.

        `recipients` is read in a thread and in batches, so it may be a generator that parses a large file.
        Batches are transactions of their own, so that senders do not wait for a long upload; the mailing
        appears to readers with the last one.

        Raises:
            IdempotencyConflict: there is a mailing with this id.
            Exception: whatever `recipients` raises.
        """
        await self._database.write(lambda connection: _announce(connection, mailing))
        try:
            return await self._store(mailing.id, iter(recipients))
        except BaseException:
            await asyncio.shield(background(self.discard(mailing.id)))
            raise

    async def mailing(self, mailing_id: str) -> Mailing:
        """The mailing with this id.

        Raises:
            UnknownJob: there is none.
        """
        columns = [mailing_table.c[name] for name in Mailing.__slots__]
        query = select(*columns).where(mailing_table.c.id == mailing_id, mailing_table.c.ready)
        row = await self._database.read(lambda connection: connection.execute(query).mappings().one_or_none())
        if row is None:
            raise UnknownJob(mailing_id)
        return Mailing(**row)

    async def newest(self, limit: int) -> list[Mailing]:
        """The last mailings, the newest first."""
        columns = [mailing_table.c[name] for name in Mailing.__slots__]
        query = select(*columns).where(mailing_table.c.ready).order_by(mailing_table.c.created_at.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [Mailing(**row) for row in rows]

    async def open_ranges(self, mailing_id: str, size: int) -> list[tuple[int, int]]:
        """Ranges of at most `size` positions, first and last, that together hold all open recipients."""
        parameters = {"mailing": mailing_id, "size": size}
        numbers = await self._database.read(lambda c: c.execute(sql.OPEN_RANGES, parameters).scalars().all())
        return [(n * size, n * size + size - 1) for n in numbers]

    async def open_recipients(self, mailing_id: str, first: int, last: int) -> list[OpenRecipient]:
        """The recipients at positions `first` to `last`, both included, that have no final outcome."""
        parameters = {"mailing": mailing_id, "first": first, "last": last}
        rows = await self._database.read(lambda c: c.execute(sql.OPEN_RECIPIENTS, parameters).all())
        return [OpenRecipient(*row) for row in rows]

    async def advance(
        self,
        mailing_id: str,
        claim: str,
        *,
        done: tuple[int, Outcome] | None = None,
        following: tuple[int, str] | None = None,
    ) -> bool:
        """Record one outcome and claim the next recipient, in one transaction.

        Args:
            claim: a name of 32 characters at most that no other sender uses.
            done: a position and its outcome. `Sent` is recorded whatever happened to the claim meanwhile;
                any other outcome only if the claim still holds.
            following: a position to claim and the Message-ID about to be used for it.

        Returns:
            Whether `following` is now claimed: False if it has a final outcome, or another sender holds it.
        """

        def transaction(connection: Connection) -> bool:
            if done is not None:
                _record(connection, mailing_id, claim, *done)
            if following is None:
                return False
            position, message_id = following
            parameters = self._claim_parameters(mailing_id, position, claim) | {"message": message_id}
            return connection.execute(sql.CLAIM, parameters).rowcount == 1

        return await self._database.write(transaction)

    async def renew(self, mailing_id: str, position: int, claim: str) -> None:
        """Extend a claim, if nobody else has taken it, to `claim_seconds` from now."""
        parameters = self._claim_parameters(mailing_id, position, claim)
        await self._database.write(lambda connection: connection.execute(sql.RENEW, parameters))

    async def stop(self, mailing_id: str, reason: str | None) -> None:
        """Write down why the mailing is not gone on with; None: it is gone on with."""
        statement = update(mailing_table).where(mailing_table.c.id == mailing_id).values(stopped=reason)
        await self._database.write(lambda connection: connection.execute(statement))

    async def counts(self, mailing_id: str) -> Counts:
        """How far the mailing is. All zero if there is none with this id."""
        return (await self.counts_of([mailing_id]))[mailing_id]

    async def counts_of(self, mailing_ids: Sequence[str]) -> dict[str, Counts]:
        """The same of several mailings, by their ids, in one query."""
        rows = await self._database.read(lambda c: c.execute(sql.COUNTS, {"mailings": list(mailing_ids)}).all())
        found: dict[str, dict[str, int]] = {mailing_id: {} for mailing_id in mailing_ids}
        for mailing_id, status, count in rows:
            found[mailing_id][status] = count
        return {mailing_id: Counts(**counts) for mailing_id, counts in found.items()}

    async def outcomes(self, mailing_id: str, status: Status | None = None) -> AsyncGenerator[RecipientOutcome]:
        """Every recipient, or those with this status, by position. Reads in pages: any number of them is fine."""
        after = -1
        while page := await self._page(mailing_id, after, status):
            for outcome in page:
                yield outcome
            after = page[-1].position

    def _claim_parameters(self, mailing_id: str, position: int, claim: str) -> dict[str, Any]:
        return {"mailing": mailing_id, "at": position, "by": claim, "lifetime": int(self.claim_seconds * 1000)}

    async def _page(self, mailing_id: str, after: int, status: Status | None) -> list[RecipientOutcome]:
        parameters: dict[str, Any] = {"mailing": mailing_id, "after": after, "size": _BATCH}
        statement = sql.OUTCOMES
        if status is not None:
            statement, parameters["status"] = sql.OUTCOMES_WITH_STATUS, status
        rows = await self._database.read(lambda connection: connection.execute(statement, parameters).all())
        return [RecipientOutcome(row[0], row[1], Status(row[2]), row[3], row[4], row[5], row[6]) for row in rows]

    async def _store(self, mailing_id: str, recipients: Iterator[Recipient]) -> int:
        stored = 0
        while rows := await asyncio.to_thread(_next_rows, mailing_id, recipients):
            await self._database.write(lambda c, rows=rows: c.execute(insert(recipient_table), rows))
            stored += len(rows)
        ready = update(mailing_table).where(mailing_table.c.id == mailing_id).values(ready=True)
        await self._database.write(lambda connection: connection.execute(ready))
        return stored

    async def discard(self, mailing_id: str) -> None:
        """Forget a mailing and its recipients. Nothing happens if there is none with this id."""
        statement = delete(mailing_table).where(mailing_table.c.id == mailing_id)
        await self._database.write(lambda connection: connection.execute(statement))


def _announce(connection: Connection, mailing: Mailing) -> None:
    abandoned = and_(mailing_table.c.ready.is_(False), mailing_table.c.created_at < now_ms() - _ABANDONED_MS)
    connection.execute(delete(mailing_table).where(abandoned))  # uploads that a crash cut short
    try:
        connection.execute(insert(mailing_table).values(**asdict(mailing), ready=False, created_at=now_ms()))
    except IntegrityError:
        raise IdempotencyConflict(f"there is a mailing with id {mailing.id!r}") from None


def _next_rows(mailing_id: str, recipients: Iterator[Recipient]) -> list[dict[str, Any]]:
    return [
        {
            "mailing_id": mailing_id,
            "position": recipient.row,
            "address": recipient.address,
            "variables": recipient.variables,
            "status": Status.PENDING,
            "attempts": 0,
            "updated_at": 0,
        }
        for recipient in islice(recipients, _BATCH)
    ]


def _record(connection: Connection, mailing_id: str, claim: str, position: int, outcome: Outcome) -> None:
    statement, status, reason = sql.RECORD, Status.PENDING, None
    match outcome:
        case Sent():
            statement, status = sql.RECORD_SENT, Status.SENT
        case PermanentFailure(text=reason):
            status = Status.FAILED
        case _:
            reason = outcome.text
    parameters = {"mailing": mailing_id, "at": position, "by": claim}
    connection.execute(statement, {**parameters, "outcome": status, "reply": outcome.code, "reason": reason})
