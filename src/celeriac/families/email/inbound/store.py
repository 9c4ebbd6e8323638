"""Records what came back, and does what follows from it: in one transaction, so that it happens once and wholly."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from celeriac.database.engine import Database
from celeriac.families.email.address import identity
from celeriac.families.email.feedback_tables import feedback_table
from celeriac.families.email.inbound.model import Feedback, Kind, Place
from celeriac.families.email.life import stop_until_resumed
from celeriac.families.email.message import place_of
from celeriac.families.email.model import Status
from celeriac.families.email.suppression import Cause, Reason, Suppression, insert_new, insert_suppression
from celeriac.families.email.tables import mailing_table, recipient_table

log = logging.getLogger("celeriac")

_f = feedback_table.c
_m = mailing_table.c
_r = recipient_table.c

_REASONS = {
    Kind.HARD_BOUNCE: Reason.HARD_BOUNCE,
    Kind.COMPLAINT: Reason.COMPLAINT,
    Kind.UNSUBSCRIBE: Reason.UNSUBSCRIBE,
}
_MAX_ADDRESS = 320
_BOUNCES = (Kind.HARD_BOUNCE, Kind.SOFT_BOUNCE)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient whose mail something came back of."""

    place: Place
    address: str
    list_name: str | None


@dataclass(frozen=True, slots=True)
class ComplaintLimit:
    """When a mailing stops by itself: above `rate` complaints per mail sent, once there are `floor` of them."""

    rate: float
    floor: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a feedback has changed. `matched`: its recipient or address is known. `new`: it was not recorded before."""

    matched: bool
    new: bool = False
    stopped: str | None = None


class FeedbackStore:
    """The bounces and complaints in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, limit: ComplaintLimit) -> None:
        self._database = database
        self._limit = limit

    async def recipient(self, mailing_id: str, position: int) -> Recipient | None:
        """Return a recipient, or None if the ledger does not have it (any more)."""
        return await self._database.read(lambda connection: _recipient(connection, Place(mailing_id, position)))

    async def unsubscribe(self, recipient: Recipient, source: str) -> None:
        """Let a recipient get no more mail of the mailing's list; of a mailing without one: no more mail."""
        place = recipient.place
        event = f"{place.mailing_id}/{place.position}"
        await self.record(Feedback(kind=Kind.UNSUBSCRIBE, source=source, event=event, place=place))

    async def record(self, feedback: Feedback) -> Recorded:
        """Record a feedback, and what follows: the outcome of its recipient, a suppression, the end of the mailing.

        What was recorded before changes nothing again.
        """
        recorded = await self._database.write(lambda connection: self._record(connection, feedback))
        if recorded.stopped is not None:
            log.warning("a mailing has stopped, until somebody resumes it: %s", recorded.stopped)
        return recorded

    async def counts(self, mailing_id: str) -> dict[Kind, int]:
        """Count the feedback of a mailing by kind."""
        query = select(_f.kind, func.count()).where(_f.mailing_id == mailing_id).group_by(_f.kind)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return dict.fromkeys(Kind, 0) | {Kind(kind): count for kind, count in rows}

    async def suppressed(self, mailing_id: str) -> int:
        """Count the recipients of a mailing that got no mail because they were suppressed."""
        query = select(func.count()).where(_r.mailing_id == mailing_id, _r.cause == Cause.SUPPRESSED)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    def _record(self, connection: Connection, feedback: Feedback) -> Recorded:
        recipient = _find(connection, feedback)
        address = recipient.address if recipient is not None else feedback.address
        if not address or len(address) > _MAX_ADDRESS:
            return Recorded(matched=False)
        if not insert_new(connection, feedback_table, _row(feedback, recipient, address)):
            return Recorded(matched=True)
        if recipient is not None and feedback.kind in _BOUNCES:
            _bounce(connection, recipient.place, feedback)
        if (reason := _REASONS.get(feedback.kind)) is not None:
            by_list = feedback.kind is Kind.UNSUBSCRIBE and recipient is not None
            list_name = (recipient.list_name if by_list and recipient else None) or ""
            insert_suppression(connection, Suppression(address, list_name, reason, _source(feedback, recipient)))
        stopped = None
        if recipient is not None and feedback.kind is Kind.COMPLAINT:
            stopped = self._stop_if_too_many(connection, recipient.place.mailing_id)
        return Recorded(matched=True, new=True, stopped=stopped)

    def _stop_if_too_many(self, connection: Connection, mailing_id: str) -> str | None:
        """Stop a mailing with too many complaints. Of one that was resumed after a stop, only mails since then count:
        complaints about those of before may come for days.
        """
        baseline: dict[str, Any] | None = connection.execute(
            select(_m.baseline).where(_m.id == mailing_id)
        ).scalar_one()
        since = int(baseline.get("at", 0)) if baseline is not None else 0
        mails = _r.mailing_id == mailing_id, (_r.status == Status.SENT) | (_r.cause == Cause.BOUNCED)
        sent = connection.execute(select(func.count()).where(*mails, _r.updated_at >= since)).scalar_one()
        about = _f.mailing_id == _r.mailing_id, _f.position == _r.position, _f.kind == Kind.COMPLAINT
        told = select(func.count(func.distinct(_r.position))).where(*about, *mails, _r.updated_at >= since)
        complaints = connection.execute(told).scalar_one()
        if complaints < self._limit.floor or complaints <= self._limit.rate * sent:
            return None
        reason = f"{complaints} of {sent} recipients complained, more than {self._limit.rate:.2%} (complaints)"
        reason += ", since it was resumed" if since else ""
        return reason if stop_until_resumed(connection, mailing_id, reason) else None


def _find(connection: Connection, feedback: Feedback) -> Recipient | None:
    if feedback.place is not None:
        return _recipient(connection, feedback.place)
    if feedback.message_id is None or (place := place_of(feedback.message_id)) is None:
        return None
    return _recipient(connection, Place(*place), feedback.message_id)


def _recipient(connection: Connection, place: Place, message_id: str | None = None) -> Recipient | None:
    query = (
        select(_r.address, _m.list_name)
        .join(mailing_table, _m.id == _r.mailing_id)
        .where(_r.mailing_id == place.mailing_id, _r.position == place.position)
    )
    if message_id is not None:
        query = query.where(_r.message_id == message_id)
    row = connection.execute(query).one_or_none()
    return Recipient(place, row.address, row.list_name) if row is not None else None


def _bounce(connection: Connection, place: Place, feedback: Feedback) -> None:
    """Let the outcome be `failed`. A bounce may be faster than the sender, who then finds its claim gone."""
    statement = (
        update(recipient_table)
        .where(
            _r.mailing_id == place.mailing_id,
            _r.position == place.position,
            _r.status.in_((Status.SENT, Status.SENDING)),
        )
        .values(
            status=Status.FAILED,
            cause=Cause.BOUNCED,
            code=None,
            error=f"bounced: {feedback.said}",
            claim=None,
            claim_expires_at=None,
            updated_at=_now_ms(),
        )
    )
    connection.execute(statement)


def _row(feedback: Feedback, recipient: Recipient | None, address: str) -> dict[str, Any]:
    return {
        "key": feedback.key,
        "kind": feedback.kind,
        "address": identity(address),
        "mailing_id": recipient.place.mailing_id if recipient is not None else None,
        "position": recipient.place.position if recipient is not None else None,
        "status": feedback.short_status,
        "diagnostic": feedback.said or None,
        "source": feedback.source,
        "created_at": _now_ms(),
    }


def _source(feedback: Feedback, recipient: Recipient | None) -> str:
    of = f", mailing {recipient.place.mailing_id}" if recipient is not None else ""
    return f"{feedback.source}{of}"


def _now_ms() -> int:
    return int(time.time() * 1000)
