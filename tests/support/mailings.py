"""Mailings for tests: a ledger with one, and what is asked of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from sqlalchemy import update

from celeriac.database.engine import Database
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import HELD_S, Mailing, Recipient, RecipientOutcome
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import ChunkOutcome, Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from celeriac.families.email.tables import recipient_table

EVERY_POSITION = (0, 1_000_000)


def recipients(count: int) -> Iterable[Recipient]:
    """Recipients as a CSV of so many lines below its header gives them."""
    return (Recipient(row, f"user{row}@example.com", {"name": f"Üser {row}"}) for row in range(2, count + 2))


def new_mailing(**changes: Any) -> Mailing:
    given = {"sender": "News <news@example.com>", "subject": "Hello {{ name }}", "text": "Dear {{ name }},\n"}
    return Mailing(id=str(uuid4()), **{**given, **changes})


async def stored_mailing(ledger: Ledger, count: int, **changes: Any) -> Mailing:
    mailing = new_mailing(**changes)
    await ledger.create(mailing, recipients(count))
    return mailing


async def send(
    ledger: Ledger,
    mailing: Mailing,
    url: str,
    *,
    range_: tuple[int, int] = EVERY_POSITION,
    **how: Any,
) -> ChunkOutcome:
    """One run over (by default) all recipients, with a connection of its own. `how` are fields of `Sending`."""
    async with SmtpSession(parse_smtp_url(url)) as session:
        return await send_chunk(ledger, mailing, *range_, session, Sending(**how))


async def let_waiting_end(database: Database, mailing: Mailing) -> None:
    """Let the time come at which the recipients are tried again that were refused for the time being."""
    table = recipient_table
    statement = update(table).where(table.c.mailing_id == mailing.id, table.c.next_at < HELD_S).values(next_at=0)
    await database.write(lambda connection: connection.execute(statement))


async def outcomes(ledger: Ledger, mailing: Mailing) -> dict[str, RecipientOutcome]:
    """The ledger's lines by address."""
    return {outcome.address: outcome async for outcome in ledger.outcomes(mailing.id)}
