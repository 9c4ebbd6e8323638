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
    func,
    or_,
    select,
    update,
)

from celeriac.database.clock import now_ms
from celeriac.families.email.model import Status
from celeriac.families.email.tables import recipient_table

_r = recipient_table.c
_here = and_(_r.mailing_id == bindparam("mailing"), _r.position == bindparam("at"))
_range = and_(_r.mailing_id == bindparam("mailing"), _r.position.between(bindparam("first"), bindparam("last")))
_open = _r.status.in_((Status.PENDING, Status.SENDING))
_free: ColumnElement[bool] = or_(
    _r.status == Status.PENDING, and_(_r.status == Status.SENDING, _r.claim_expires_at <= now_ms())
)
_claim_end = now_ms() + bindparam("life_ms", type_=BigInteger())

#: Parameters: mailing, at, by (the claim), life_ms, message.
CLAIM: Update = (
    update(recipient_table)
    .where(_here, _free)
    .values(
        status=Status.SENDING,
        attempts=_r.attempts + 1,
        message_id=bindparam("message"),
        claim=bindparam("by"),
        claim_expires_at=_claim_end,
        updated_at=now_ms(),
    )
)

#: Parameters: mailing, at, by, life_ms.
RENEW: Update = update(recipient_table).where(_here, _r.claim == bindparam("by")).values(claim_expires_at=_claim_end)

_record = update(recipient_table).values(
    status=bindparam("outcome"),
    code=bindparam("reply"),
    error=bindparam("reason"),
    claim=None,
    claim_expires_at=None,
    updated_at=now_ms(),
)

#: Parameters: mailing, at, by, outcome (a status), reply (an SMTP code), reason. Needs the claim to hold.
RECORD: Update = _record.where(_here, _r.claim == bindparam("by"))

#: As above, for a mail that was sent. That stays true if another sender holds the claim by now; but not if a bounce was
#: faster (it has a cause).
RECORD_SENT: Update = _record.where(
    _here, or_(_r.claim == bindparam("by"), and_(_r.status != Status.SENT, _r.cause.is_(None)))
)

_remaining_ms = _r.claim_expires_at - now_ms()

#: Parameters: mailing, first, last.
OPEN_RECIPIENTS: Select[int, str, dict[str, Any], int, str | None, int] = (
    select(
        _r.position,
        _r.address,
        _r.variables,
        _r.attempts,
        _r.message_id,
        case((and_(_r.status == Status.SENDING, _remaining_ms > 0), _remaining_ms), else_=0),
    )
    .where(_range, _open)
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
