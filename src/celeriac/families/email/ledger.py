"""The ledger records the outcome of each recipient of a mailing as it happens.

How the ledger prevents that a recipient gets a mail twice
----------------------------------------------------------
A sender *claims* a recipient (`pending` becomes `sending`) in a committed transaction before it sends the mail. It
claims the next one while the first is still on its way, so that the mail server can be told of it early. But it commits
the outcome of the first before it sends the second mail. So each sender leaves at most one mail in an unknown state,
and one more claim, whose mail did not go out.

- Two senders work on the same recipients, since jobs are delivered at least once. The claim is a compare-and-set:
  one sender gets the recipient, the other skips it.
- A sender dies. Its claim expires after `Ledger.claim_seconds`, by the database's clock. The next sender of the range
  takes over. A living sender renews its claim for as long as the mail server keeps it waiting.
- *The window*: a sender crashes between the server's 250 after DATA and the commit of `sent`. Nobody knows then that
  the mail went out. This one recipient of each connection stays `sending`, and is sent to again when the claim has
  expired: at least once, not at most once. The second mail has the same Message-ID, so receiving systems can
  recognise it. SMTP has no way to close this window (RFC 1047).
- No sender claims a recipient that is recorded as `sent`. With SQLite a commit survives the death of the process.
  After a power cut the last commits may be missing (`synchronous = NORMAL`), and those recipients count as not sent.
  With Postgres a commit survives both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import islice
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from celeriac.core.background import background
from celeriac.core.errors import IdempotencyConflict, UnknownJob
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.email import statements as sql
from celeriac.families.email.advances import Advance, Advances
from celeriac.families.email.life import Life
from celeriac.families.email.model import (
    Counts,
    Mailing,
    MailingState,
    OpenRecipient,
    Outcome,
    PermanentFailure,
    Recipient,
    RecipientOutcome,
    Sent,
    Status,
    TransientFailure,
)
from celeriac.families.email.tables import mailing_table, recipient_table

_BATCH = 1000
_ABANDONED_MS = 3_600_000


class Ledger:
    """The ledger of all mailings in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, *, claim_seconds: float = 10.0, idle_hours: float = 24.0) -> None:
        """`claim_seconds` is the life of a claim that is not renewed. It must exceed the longest stall of a sender.

        A mailing that nobody has sent for `idle_hours` does not go on by itself.
        """
        self._database = database
        self._advances = Advances(database)
        self.life = Life(database, int(idle_hours * 3_600_000))
        self.claim_seconds = claim_seconds

    async def create(self, mailing: Mailing, recipients: Iterable[Recipient], left_out: Callable[[], int] = int) -> int:
        """Store a mailing with its recipients, and return their number. After a failure no reader sees any of it.

        A thread reads `recipients` in batches, so a generator may parse a large file. Each batch is a transaction,
        so that senders do not wait for a long upload. Readers see the mailing with the last batch.

        `left_out` is called when all were read: it returns how many rows were left out as duplicates.

        Raises:
            IdempotencyConflict: there is a mailing with this id.
            Exception: any that `recipients` raises.
        """
        await self._database.write(lambda connection: _announce(connection, mailing))
        try:
            return await self._store(mailing.id, iter(recipients), left_out)
        except BaseException:
            await asyncio.shield(background(self.discard(mailing.id)))
            raise

    async def mailing(self, mailing_id: str) -> Mailing:
        """Return the mailing with this id.

        Raises:
            UnknownJob: there is none.
        """
        columns = [mailing_table.c[name] for name in Mailing.__slots__]
        query = select(*columns).where(mailing_table.c.id == mailing_id, mailing_table.c.ready)
        row = await self._database.read(lambda connection: connection.execute(query).mappings().one_or_none())
        if row is None:
            raise UnknownJob(mailing_id)
        return _mailing(row)

    async def newest(self, limit: int, before: tuple[int, str] | None = None) -> list[Mailing]:
        """Return the last `limit` mailings before the one with that time of creation and id, the newest first."""
        table = mailing_table.c
        columns = [table[name] for name in Mailing.__slots__]
        query = select(*columns).where(table.ready).order_by(table.created_at.desc(), table.id.desc()).limit(limit)
        if before is not None:
            query = query.where(tuple_(table.created_at, table.id) < before)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [_mailing(row) for row in rows]

    async def open_ranges(self, mailing_id: str, size: int) -> list[tuple[int, int]]:
        """Return ranges (first and last position) of at most `size` that together hold all open recipients."""
        parameters = {"mailing": mailing_id, "size": size}
        numbers = await self._database.read(lambda c: c.execute(sql.OPEN_RANGES, parameters).scalars().all())
        return [(n * size, n * size + size - 1) for n in numbers]

    async def open_recipients(self, mailing_id: str, first: int, last: int) -> list[OpenRecipient]:
        """Return the recipients without a final outcome at positions `first` to `last`, both included."""
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
        released: int | None = None,
    ) -> bool:
        """Record one outcome and claim another recipient, in one transaction, which other senders share.

        Args:
            claim: a name of 32 characters at most that no other sender uses.
            done: a position and its outcome. `Sent` is recorded even if the claim was lost, any other outcome only
                if the claim still holds.
            following: a position to claim, and the Message-ID that its mail will have.
            released: a position that is claimed, and that nothing was sent to. It is free again.

        Returns:
            Whether `following` is now claimed. False: it has a final outcome, or another sender holds it.
        """
        at = {"mailing": mailing_id, "by": claim}
        records = [{**at, "at": done[0], **_columns(done[1])}] if done is not None else []
        if released is not None:
            records.append({**at, "at": released, **_FREE})
        wanted = None
        if following is not None:
            life_ms = int(self.claim_seconds * 1000)
            wanted = {**at, "at": following[0], "message": following[1], "life_ms": life_ms}
        return await self._advances.make(Advance(records, wanted))

    def sender(self) -> AbstractContextManager[None]:
        """Be in a block of this while sending: the transactions of `advance` then wait a moment for each other."""
        return self._advances.sender()

    async def renew(self, mailing_id: str, position: int, claim: str) -> None:
        """Extend a claim to `claim_seconds` from now, unless another sender has taken it."""
        parameters = self._claim_parameters(mailing_id, position, claim)
        await self._database.write(lambda connection: connection.execute(sql.RENEW, parameters))

    async def held(self, mailing_id: str) -> str | None:
        """Say why recipients are held until somebody resumes the mailing: the reply to the first. None: none is."""
        row = await self._database.read(lambda c: c.execute(sql.HELD, {"mailing": mailing_id}).first())
        return None if row is None else f"the mail server refuses recipients by policy or content: {row[0]} {row[1]}"

    async def failures(self, mailing_id: str) -> dict[str | None, int]:
        """Count the recipients that have failed, by the kind of failure."""
        rows = await self._database.read(lambda c: c.execute(sql.FAILURES, {"mailing": mailing_id}).all())
        return {row[0]: row[1] for row in rows}

    async def counts(self, mailing_id: str) -> Counts:
        """Count the mailing's recipients by status. An unknown id gives zeros."""
        return (await self.counts_of([mailing_id]))[mailing_id]

    async def counts_of(self, mailing_ids: Sequence[str]) -> dict[str, Counts]:
        """Count the recipients of several mailings in one query, and return them by mailing id."""
        rows = await self._database.read(lambda c: c.execute(sql.COUNTS, {"mailings": list(mailing_ids)}).all())
        found: dict[str, dict[str, int]] = {mailing_id: {} for mailing_id in mailing_ids}
        for mailing_id, status, count in rows:
            found[mailing_id][status] = count
        return {mailing_id: Counts(**counts) for mailing_id, counts in found.items()}

    async def outcomes(self, mailing_id: str, status: Status | None = None) -> AsyncGenerator[RecipientOutcome]:
        """Yield all recipients, or those with this status, by position. Pages bound the memory."""
        after = -1
        while page := await self._page(mailing_id, after, status):
            for outcome in page:
                yield outcome
            after = page[-1].position

    def _claim_parameters(self, mailing_id: str, position: int, claim: str) -> dict[str, Any]:
        return {"mailing": mailing_id, "at": position, "by": claim, "life_ms": int(self.claim_seconds * 1000)}

    async def _page(self, mailing_id: str, after: int, status: Status | None) -> list[RecipientOutcome]:
        parameters: dict[str, Any] = {"mailing": mailing_id, "after": after, "size": _BATCH}
        statement = sql.OUTCOMES
        if status is not None:
            statement, parameters["status"] = sql.OUTCOMES_WITH_STATUS, status
        rows = await self._database.read(lambda connection: connection.execute(statement, parameters).all())
        return [RecipientOutcome(row[0], row[1], Status(row[2]), row[3], row[4], row[5], row[6]) for row in rows]

    async def _store(self, mailing_id: str, recipients: Iterator[Recipient], left_out: Callable[[], int]) -> int:
        stored = 0
        while rows := await asyncio.to_thread(_next_rows, mailing_id, recipients):
            await self._database.write(lambda c, rows=rows: c.execute(insert(recipient_table), rows))
            stored += len(rows)
        values = {"ready": True, "recipients": stored, "left_out": left_out(), **self.life.first_values()}
        ready = update(mailing_table).where(mailing_table.c.id == mailing_id).values(values)
        await self._database.write(lambda connection: connection.execute(ready))
        return stored

    async def discard(self, mailing_id: str) -> None:
        """Delete a mailing and its recipients, if it exists."""
        statement = delete(mailing_table).where(mailing_table.c.id == mailing_id)
        await self._database.write(lambda connection: connection.execute(statement))


def _announce(connection: Connection, mailing: Mailing) -> None:
    abandoned = and_(mailing_table.c.ready.is_(False), mailing_table.c.created_at < now_ms() - _ABANDONED_MS)
    connection.execute(delete(mailing_table).where(abandoned))  # uploads that a crash cut short
    try:
        values = {**asdict(mailing), "ready": False, "created_at": now_ms()}
        connection.execute(insert(mailing_table).values(values))
    except IntegrityError:
        raise IdempotencyConflict(f"there is a mailing with id {mailing.id!r}") from None


def _mailing(row: RowMapping) -> Mailing:
    columns: dict[str, Any] = {**row, "state": MailingState(row["state"])}
    return Mailing(**columns)


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


_FREE: dict[str, Any] = {
    "status": Status.PENDING, "code": None, "error": None, "kind": None, "wait_ms": 0, "back": 1
}  # fmt: skip


def _columns(outcome: Outcome) -> dict[str, Any]:
    """Return what is recorded of an outcome."""
    columns: dict[str, Any] = {**_FREE, "code": outcome.code, "back": 0}
    match outcome:
        case Sent():
            return {**columns, "status": Status.SENT}
        case PermanentFailure(text=text, kind=kind):
            return {**columns, "status": Status.FAILED, "error": text, "kind": kind if outcome.code else None}
        case TransientFailure(text=text, kind=kind, wait=wait):
            return {**columns, "error": text, "kind": kind, "wait_ms": int(wait * 1000)}
