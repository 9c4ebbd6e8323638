"""The SQL of the ledger. Statements that run for each mail are built once, with bound parameters."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from celeriac.database.clock import now_ms
from celeriac.families.email.model import HELD_S, MailingState, Status
from celeriac.families.email.tables import mailing_table, recipient_table

_r = recipient_table.c
_here = and_(_r.mailing_id == bindparam("mailing"), _r.position == bindparam("at"))
_range = and_(_r.mailing_id == bindparam("mailing"), _r.position.between(bindparam("first"), bindparam("last")))
_open = _r.status.in_((Status.PENDING, Status.SENDING))
_m = mailing_table.c
#: Nothing is sent for a mailing that is paused, has ended, or comes too late. `advances` has the same
#: condition for each claim, so no sender can miss that.
_is_sent: ColumnElement[bool] = exists().where(
    _m.id == bindparam("mailing"),
    _m.state == MailingState.SENDING,
    or_(_m.sends_until.is_(None), _m.sends_until > now_ms()),
)
_claim_end = now_ms() + bindparam("life_ms", type_=BigInteger())

#: Parameters: mailing, at, by, life_ms.
RENEW: Update = update(recipient_table).where(_here, _r.claim == bindparam("by")).values(claim_expires_at=_claim_end)

_held = and_(_r.mailing_id == bindparam("mailing"), _r.status == Status.PENDING, _r.next_at > int(HELD_S))

#: Parameters: mailing.
FREE_HELD: Update = update(recipient_table).where(_held).values(next_at=None)

#: Parameters: mailing.
HELD: Select[int, str] = select(_r.code, _r.error).where(_held).order_by(_r.position).limit(1)

#: Parameters: mailing.
FAILURES: Select[str | None, int] = (
    select(_r.kind, func.count())
    .where(_r.mailing_id == bindparam("mailing"), _r.status == Status.FAILED)
    .group_by(_r.kind)
)

_remaining_ms = _r.claim_expires_at - now_ms()
_wait_ms = _r.next_at - now_ms()

#: There are none if the mailing is not being sent. Parameters: mailing, first, last.
OPEN_RECIPIENTS: Select[int, str, dict[str, Any], int, str | None, int, str | None, int] = (
    select(
        _r.position,
        _r.address,
        _r.variables,
        _r.attempts,
        _r.message_id,
        case((and_(_r.status == Status.SENDING, _remaining_ms > 0), _remaining_ms), else_=0),
        _r.kind,
        case((_wait_ms > 0, _wait_ms), else_=0),
    )
    .where(_range, _open, _is_sent)
    .order_by(_r.position)
)

#: Parameters: mailing, size.
OPEN_RANGES: Select[int] = (
    select((_r.position // bindparam("size")).label("number"))
    .where(_r.mailing_id == bindparam("mailing"), _open)
    .group_by("number")
    .order_by("number")
)

#: Parameters: mailings (their ids).
COUNTS: Select[str, str, int] = (
    select(_r.mailing_id, _r.status, func.count())
    .where(_r.mailing_id.in_(bindparam("mailings", expanding=True)))
    .group_by(_r.mailing_id, _r.status)
)

#: Parameters: mailing, after (a position), size.
OUTCOMES: Select[int, str, str, int, int | None, str | None, str | None] = (
    select(_r.position, _r.address, _r.status, _r.attempts, _r.code, _r.error, _r.message_id)
    .where(_r.mailing_id == bindparam("mailing"), _r.position > bindparam("after"))
    .order_by(_r.position)
    .limit(bindparam("size"))
)

#: As above, for one status. Parameters: also status.
OUTCOMES_WITH_STATUS: Select[int, str, str, int, int | None, str | None, str | None] = OUTCOMES.where(
    _r.status == bindparam("status")
)
