"""Addresses that get no more mail: of one list, or of none at all.

They are looked up when a mail is about to be sent, not when the mailing is submitted: whoever unsubscribes during a
mailing gets no mail of what is left of it. A lookup is one query for each batch of recipients that is prepared.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.email.address import identity, parse_address
from celeriac.families.email.feedback_tables import suppression_table
from celeriac.families.email.model import Mailing, OpenRecipient, Status
from celeriac.families.email.tables import recipient_table

#: The names of lists: words without spaces, of at most 100 characters.
LIST_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PAGE = 1000

_s = suppression_table.c
_r = recipient_table.c


class Reason(StrEnum):
    """Why an address gets no more mail."""

    UNSUBSCRIBE = "unsubscribe"
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"


class Cause(StrEnum):
    """Why a recipient's outcome is `failed`, other than by the mail server's reply."""

    SUPPRESSED = "suppressed"
    """Nothing was sent, for the address was suppressed."""
    BOUNCED = "bounced"
    """The mail server had accepted the mail, and a bounce came later."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that gets no more mail.

    Attributes:
        address: as `address.identity` has it.
        list_name: the list whose mail it does not get; empty: it gets none.
        source: who said so: an API key's name, a mailing, a provider.
        created_at: milliseconds since the epoch; 0 for one that is not stored yet.
    """

    address: str
    list_name: str
    reason: Reason
    source: str
    created_at: int = 0


_LOOKUP = select(_s.address, _s.list_name, _s.reason).where(
    _s.address.in_(bindparam("addresses", expanding=True)), _s.list_name.in_(bindparam("lists", expanding=True))
)

#: Needs the recipient to be in no sender's hand.
_SUPPRESS = (
    update(recipient_table)
    .where(
        _r.mailing_id == bindparam("mailing"),
        _r.position == bindparam("at"),
        or_(_r.status == Status.PENDING, and_(_r.status == Status.SENDING, _r.claim_expires_at <= now_ms())),
    )
    .values(
        status=Status.FAILED,
        cause=Cause.SUPPRESSED,
        code=None,
        error=bindparam("said"),
        claim=None,
        claim_expires_at=None,
        updated_at=now_ms(),
    )
)


def is_list_name(text: str) -> bool:
    """Return whether a list can have this name."""
    return _NAME.fullmatch(text) is not None


class Suppressions:
    """All suppressed addresses in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entry: Suppression) -> bool:
        """Store a suppression, and return whether it is new. One that exists keeps its reason and time."""
        return await self._database.write(lambda connection: insert_suppression(connection, entry))

    async def add_all(self, entries: Iterator[Suppression]) -> int:
        """Store many, and return how many were read. A thread reads them, each batch is a transaction.

        Raises:
            Exception: any that `entries` raises. The batches before it are stored.
        """
        count = 0
        while rows := await asyncio.to_thread(lambda: [_row(entry) for entry in islice(entries, _PAGE)]):
            await self._database.write(lambda c, rows=rows: c.execute(_insert(c, suppression_table), rows))
            count += len(rows)
        return count

    async def remove(self, address: str, list_name: str = "") -> bool:
        """Let an address get mail again. Return whether it was suppressed there."""
        statement = delete(suppression_table).where(_s.address == _stored_form(address), _s.list_name == list_name)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def page(
        self, after: tuple[str, str] = ("", ""), *, size: int = _PAGE, list_name: str | None = None
    ) -> list[Suppression]:
        """Return the suppressions behind `after` (an address and a list), in that order; or those of one list."""
        behind = or_(_s.address > after[0], and_(_s.address == after[0], _s.list_name > after[1]))
        query = select(suppression_table).where(behind).order_by(_s.address, _s.list_name).limit(size)
        if list_name is not None:
            query = query.where(_s.list_name == list_name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_suppression(row) for row in rows]

    async def of(self, address: str) -> list[Suppression]:
        """Return the suppressions of one address, the one of all lists first."""
        query = select(suppression_table).where(_s.address == _stored_form(address)).order_by(_s.list_name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_suppression(row) for row in rows]

    async def all(self, list_name: str | None = None) -> AsyncGenerator[Suppression]:
        """Yield all suppressions, or those of one list. Pages bound the memory."""
        after = ("", "")
        while page := await self.page(after, list_name=list_name):
            for suppression in page:
                yield suppression
            after = (page[-1].address, page[-1].list_name)

    async def sift(self, mailing: Mailing, recipients: Sequence[OpenRecipient]) -> list[OpenRecipient]:
        """Return the recipients that may get mail, and record the outcome of the others."""
        if not recipients:
            return []
        lists = ["", mailing.list_name] if mailing.list_name else [""]
        asked = {"addresses": [identity(recipient.address) for recipient in recipients], "lists": lists}
        found = await self._database.read(lambda connection: connection.execute(_LOOKUP, asked).all())
        if not found:
            return list(recipients)
        said = {address: _said(Reason(reason), list_name) for address, list_name, reason in found}
        left_out = [
            {"mailing": mailing.id, "at": recipient.position, "said": said[identity(recipient.address)]}
            for recipient in recipients
            if identity(recipient.address) in said
        ]
        await self._database.write(lambda connection: connection.execute(_SUPPRESS, left_out))
        return [recipient for recipient in recipients if identity(recipient.address) not in said]


def insert_suppression(connection: Connection, entry: Suppression) -> bool:
    """Store a suppression within a transaction, unless there is one, and return whether it is new."""
    return insert_new(connection, suppression_table, _row(entry))


def insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless there is one with its primary key. Return whether it was inserted."""
    return connection.execute(_insert(connection, table), row).rowcount > 0


def _insert(connection: Connection, table: Table) -> Any:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing()


def _row(entry: Suppression) -> dict[str, Any]:
    return {
        "address": identity(entry.address),
        "list_name": entry.list_name,
        "reason": entry.reason,
        "source": entry.source,
        "created_at": entry.created_at or int(time.time() * 1000),
    }


def _stored_form(address: str) -> str:
    """Return an address as it is stored, in whatever form somebody asks for it. No text is a fault."""
    try:
        return identity(parse_address(address.strip()))
    except ValueError:
        return identity(address).replace("\0", "")


def _said(reason: Reason, list_name: str) -> str:
    return f"suppressed: {reason}" + (f" (list {list_name})" if list_name else "")


def _suppression(row: Any) -> Suppression:
    return Suppression(row.address, row.list_name, Reason(row.reason), row.source, row.created_at)
