"""The life of a mailing, in the database: draft, scheduled, sending, paused, stopped, done, cancelled.

The database is the truth, not the mailing's job: a broker may be restored from a backup, and would run old jobs again.
Each change is one conditional statement, so that two callers cannot both make it. Senders need the state `sending` for
each claim (`statements.CLAIM`), so that no mail is begun after a change was committed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Update, and_, case, func, or_, select, update

from celeriac.core.clock import to_datetime
from celeriac.core.errors import UnknownJob, WrongState
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.email.model import MailingState, Status
from celeriac.families.email.statements import FAILURES, FREE_HELD
from celeriac.families.email.tables import mailing_table, recipient_table

_DRAFT, _SCHEDULED, _SENDING = MailingState.DRAFT, MailingState.SCHEDULED, MailingState.SENDING
_STOPPED, _CANCELLED = MailingState.STOPPED, MailingState.CANCELLED

#: From which states each change of somebody's leads.
_PAUSABLE = (_SCHEDULED, _SENDING)
_RESUMABLE = (MailingState.PAUSED, _STOPPED)
_CANCELLABLE = (_DRAFT, _SCHEDULED, _SENDING, MailingState.PAUSED, _STOPPED)

_m = mailing_table.c
_r = recipient_table.c
_starts_later = and_(_m.send_at.is_not(None), _m.send_at > now_ms())
_state_of_start = case((_starts_later, _SCHEDULED), else_=_SENDING)


class Life:
    """The states of all mailings in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, idle_ms: int) -> None:
        """A mailing that nobody has sent for `idle_ms` after its start does not go on by itself."""
        self._database = database
        self._idle_ms = idle_ms

    @property
    def longest_pause(self) -> float:
        """The seconds for which the job of a mailing may be away without the mailing's becoming too late."""
        return self._idle_ms / 2000

    def first_values(self) -> dict[str, Any]:
        """Return the columns of a mailing that is complete now."""
        return {"sends_until": self._until}

    async def start(self, mailing_id: str) -> MailingState:
        """Start a draft, or have it start at its time. Return its new state.

        Raises:
            WrongState: it is no draft.
            UnknownJob: there is no such mailing.
        """
        return await self._change(mailing_id, "be started", (_DRAFT,), state=_state_of_start, sends_until=self._until)

    async def pause(self, mailing_id: str) -> MailingState:
        """Send nothing until somebody resumes it. Pausing it twice is no error. Raises as `start`."""
        return await self._change(mailing_id, "be paused", (*_PAUSABLE, MailingState.PAUSED), state=MailingState.PAUSED)

    async def resume(self, mailing_id: str, *, also: Collection[MailingState] = ()) -> MailingState:
        """Go on with a mailing that was paused or has stopped, or is in a state of `also`. Raises as `start`.

        Raises:
            WrongState: also: the time that its sender has set is over.
        """
        return await self._change(
            mailing_id,
            "be resumed",
            (*_RESUMABLE, *also),
            state=_state_of_start,
            stopped=None,
            sends_until=self._until,
        )

    async def cancel(self, mailing_id: str) -> MailingState:
        """Send nothing any more. Cancelling it twice is no error. Raises as `start`."""
        return await self._change(mailing_id, "be cancelled", (*_CANCELLABLE, _CANCELLED), state=_CANCELLED)

    async def begin(self, mailing_id: str) -> tuple[MailingState, float]:
        """Begin to send, for a mailing's job that has just started. Return the state, and the seconds until the start.

        A scheduled mailing is sent if it is time. One that has stopped goes on, as its job was retried; unless it has
        stopped long ago: then the job may come from an old backup.
        """

        def transaction(connection: Connection) -> tuple[MailingState, float]:
            here = _m.id == mailing_id
            in_time = _m.sends_until > now_ms()
            due = and_(_m.state == _SCHEDULED, or_(_m.send_at.is_(None), _m.send_at <= now_ms()))
            connection.execute(update(mailing_table).where(here, due).values(state=_SENDING))
            retried = and_(_m.state == _STOPPED, or_(_m.sends_until.is_(None), in_time))
            again = update(mailing_table).where(here, retried).values(state=_SENDING, stopped=None)
            if connection.execute(again).rowcount:
                connection.execute(FREE_HELD, {"mailing": mailing_id})
                _take_stock(connection, mailing_id)
            state = self._mark_alive(connection, mailing_id)
            wait_ms = connection.execute(select(_m.send_at - now_ms()).where(here)).scalar_one_or_none()
            return state, max(0, wait_ms or 0) / 1000

        return await self._database.write(transaction)

    async def mark_alive(self, mailing_id: str) -> MailingState:
        """Note that somebody sends, and return the state. A mailing that comes too late is stopped."""
        return await self._database.write(lambda connection: self._mark_alive(connection, mailing_id))

    async def stop(self, mailing_id: str, reason: str) -> None:
        """Stop a mailing that is being sent, and record why."""
        statement = _update(mailing_id, (_SENDING,)).values(state=_STOPPED, stopped=reason)
        await self._database.write(lambda connection: connection.execute(statement))

    async def finish(self, mailing_id: str) -> bool:
        """Record that it is done, if there are as many final outcomes as recipients. Return whether that is so."""
        final = select(func.count()).where(_r.mailing_id == mailing_id, _r.status.in_((Status.SENT, Status.FAILED)))
        statement = (
            update(mailing_table)
            .where(_m.id == mailing_id, _m.recipients == final.scalar_subquery(), _m.state != _CANCELLED)
            .values(state=MailingState.DONE, stopped=None)
        )
        return await self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    @property
    def _until(self) -> Any:
        """The end of sending for a mailing that is started now: a while after its start, but not after `not_after`."""
        end = case((_starts_later, _m.send_at), else_=now_ms()) + self._idle_ms
        return case((_m.not_after < end, _m.not_after), else_=end)

    def _mark_alive(self, connection: Connection, mailing_id: str) -> MailingState:
        in_time = or_(_m.sends_until.is_(None), _m.sends_until > now_ms())
        alive = _update(mailing_id, (_SENDING,)).where(in_time).values(sends_until=self._until)
        if connection.execute(alive).rowcount == 0:
            query = select(_m.sends_until, _m.not_after).where(_m.id == mailing_id, _m.state == _SENDING)
            if (late := connection.execute(query).one_or_none()) is not None:
                reason = _too_late(*late)
                connection.execute(_update(mailing_id, (_SENDING,)).values(state=_STOPPED, stopped=reason))
        return _state(connection, mailing_id)

    async def _change(
        self, mailing_id: str, what: str, sources: Collection[MailingState], **values: Any
    ) -> MailingState:
        def transaction(connection: Connection) -> MailingState:
            before = _state(connection, mailing_id)
            query = select(_m.not_after).where(_m.id == mailing_id, _m.not_after <= now_ms())
            late = connection.execute(query).scalar_one_or_none()
            if late is not None and "sends_until" in values:
                raise WrongState(f"the mailing was to be sent until {_shown(late)}; submit it again with another time")
            moved = connection.execute(_update(mailing_id, sources).values(**values)).rowcount
            if not moved:
                raise WrongState(f"the mailing is {before}, so it cannot {what}")
            if "stopped" in values:
                connection.execute(FREE_HELD, {"mailing": mailing_id})
                if before is _STOPPED:
                    _take_stock(connection, mailing_id)
            return _state(connection, mailing_id)

        return await self._database.write(transaction)


def stop_until_resumed(connection: Connection, mailing_id: str, reason: str) -> bool:
    """Stop a mailing that has recipients left. Return whether it was going on, or paused.

    Its own job may wait for its time just now. `sends_until` keeps it from going on when it wakes: see `Life.begin`.
    """
    left = _r.mailing_id == mailing_id, _r.status.in_((Status.PENDING, Status.SENDING))
    statement = (
        _update(mailing_id, (*_PAUSABLE, MailingState.PAUSED))
        .where(select(_r.position).where(*left).exists())
        .values(state=_STOPPED, stopped=reason, sends_until=now_ms())
    )
    return connection.execute(statement).rowcount > 0


def _update(mailing_id: str, sources: Collection[MailingState]) -> Update:
    return update(mailing_table).where(_m.id == mailing_id, _m.ready, _m.state.in_(tuple(sources)))


def _take_stock(connection: Connection, mailing_id: str) -> None:
    """Have rates of failures and complaints count from here, or a mailing that has stopped by its rate would stop again
    at once.
    """
    sent = select(func.count()).where(_r.mailing_id == mailing_id, _r.status == Status.SENT)
    failed = connection.execute(FAILURES, {"mailing": mailing_id}).all()
    baseline = {
        "at": connection.execute(select(now_ms())).scalar_one(),
        "sent": connection.execute(sent).scalar_one(),
        "failed": {kind: number for kind, number in failed if kind is not None},
    }
    connection.execute(update(mailing_table).where(_m.id == mailing_id).values(baseline=baseline))


def _state(connection: Connection, mailing_id: str) -> MailingState:
    state = connection.execute(select(_m.state).where(_m.id == mailing_id, _m.ready)).scalar_one_or_none()
    if state is None:
        raise UnknownJob(mailing_id)
    return MailingState(state)


def _too_late(sends_until: int, not_after: int | None) -> str:
    if not_after is not None and not_after <= sends_until:
        return f"it is too late: the mailing was to be sent until {_shown(not_after)}"
    return (
        f"it is too late: nothing of the mailing was sent for long, and after {_shown(sends_until)} it does not go on "
        "by itself; resume it if it is still to be sent"
    )


def _shown(ms: int) -> str:
    return to_datetime(ms).isoformat(timespec="seconds").replace("+00:00", "Z")
