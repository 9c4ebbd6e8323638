"""Shows deliveries and events, and steers deliveries: cancels them, and sends them again."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.webhooks.event_store import GRACE_MS
from celeriac.families.webhooks.loaded import DELIVERY, WITH_EVENT, delivery_of
from celeriac.families.webhooks.model import Attempt, Delivery, DeliveryState, Event, job_id_of
from celeriac.families.webhooks.refusals import UnknownDelivery, UnknownEvent
from celeriac.families.webhooks.tables import attempt_table, delivery_table, endpoint_table, event_table

_d, _v, _a = delivery_table.c, event_table.c, attempt_table.c

_ABORTED: dict[str, Any] = {"state": DeliveryState.ABORTED, "error": "cancelled", "next_at": None}
#: What a replay sends again unless it is told more: all that has ended without success.
UNSUCCESSFUL = (DeliveryState.EXHAUSTED, DeliveryState.HELD, DeliveryState.ABORTED, DeliveryState.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which deliveries are meant. What is None does not matter.

    Attributes:
        since: events from this time on (ms since the epoch).
        until: events before this time.
        changed_before: deliveries that have not changed since this time.
    """

    delivery: str | None = None
    endpoint: str | None = None
    event: str | None = None
    states: Sequence[DeliveryState] | None = None
    since: int | None = None
    until: int | None = None
    changed_before: int | None = None

    def condition(self) -> ColumnElement[bool]:
        """The same in SQL."""
        given: list[tuple[object, ColumnElement[bool]]] = [
            (self.delivery, _d.id == self.delivery),
            (self.endpoint, _d.endpoint_id == self.endpoint),
            (self.event, _v.id == self.event),
            (self.states, _d.state.in_(self.states or ())),
            (self.since, _v.created_at >= (self.since or 0)),
            (self.until, _v.created_at < (self.until or 0)),
            (self.changed_before, _d.updated_at < (self.changed_before or 0)),
        ]
        return and_(_d.id.is_not(None), *(condition for value, condition in given if value is not None))


class Deliveries:
    """The deliveries in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def event(self, event_id: str) -> Event:
        """Return an event.

        Raises:
            UnknownEvent: there is none with that id.
        """
        query = select(_v.number, _v.id, _v.owner, _v.type, _v.body, _v.created_at).where(_v.id == event_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise UnknownEvent(event_id)
        return Event(*row)

    async def counts(self, event_number: int) -> dict[DeliveryState, int]:
        """Return how many deliveries of an event are in each state."""
        query = select(_d.state, func.count()).where(_d.event_number == event_number).group_by(_d.state)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {DeliveryState(state): count for state, count in rows}

    async def get(self, delivery_id: str) -> Delivery:
        """Return a delivery.

        Raises:
            UnknownDelivery: there is none with that id.
        """
        return await self._database.read(lambda connection: _one(connection, delivery_id))

    async def page(
        self, choice: Choice, *, after: tuple[int, str] | None, limit: int
    ) -> tuple[list[Delivery], tuple[int, str] | None]:
        """Return deliveries, those of the newest events first, and where the next page begins, if there is one."""
        query = select(*DELIVERY).select_from(WITH_EVENT).where(choice.condition())
        if after is not None:
            number, endpoint_id = after
            below = and_(_d.event_number == number, _d.endpoint_id > endpoint_id)
            query = query.where(_d.event_number <= number, or_(_d.event_number < number, below))
        query = query.order_by(_d.event_number.desc(), _d.endpoint_id).limit(limit + 1)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        found = [delivery_of(row) for row in rows[:limit]]
        return found, (found[-1].event_number, found[-1].endpoint_id) if len(rows) > limit else None

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """Return the log of a delivery, the first try first."""
        columns = [attempt_table.c[name] for name in Attempt.__slots__]
        query = select(*columns).where(_a.delivery_id == delivery_id).order_by(_a.number)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [Attempt(**row) for row in rows]

    async def abort(self, delivery_id: str) -> Delivery:
        """Have an open delivery end. Return it as it is now: it may have ended before.

        Raises:
            UnknownDelivery: there is none with that id.
        """

        def store(connection: Connection) -> Delivery:
            ended = update(delivery_table).where(_d.id == delivery_id, _d.state == DeliveryState.PENDING)
            connection.execute(ended.values(**_ABORTED, updated_at=now_ms()))
            return _one(connection, delivery_id)

        return await self._database.write(store)

    async def abort_job(self, job_id: str) -> str | None:
        """Have the open delivery of a job end. Return the id of its endpoint; None: it has ended, or is replayed."""
        delivery_id, _, cycle = job_id.rpartition(".")
        own = (_d.id == delivery_id, _d.cycle == int(cycle), _d.state == DeliveryState.PENDING)
        ended = update(delivery_table).where(*own).values(**_ABORTED, updated_at=now_ms())

        def store(connection: Connection) -> str | None:
            return connection.execute(ended.returning(_d.endpoint_id)).scalar_one_or_none()

        return await self._database.write(store)

    async def reopen(self, delivery_id: str) -> None:
        """Open a delivery in its cycle, whose job somebody has retried."""
        again = update(delivery_table).where(_d.id == delivery_id).values(**_opened())
        await self._database.write(lambda connection: connection.execute(again))

    async def count(self, choice: Choice) -> int:
        """Return how many deliveries a replay would send again. Those of disabled endpoints are none of them."""
        query = select(func.count()).select_from(WITH_EVENT).where(_replayable(choice))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def replay(self, choice: Choice, *, limit: int) -> list[tuple[str, str, str]]:
        """Open up to so many deliveries anew. Return for each its id, its new job's id, and its endpoint."""

        def store(connection: Connection) -> list[tuple[str, str, str]]:
            query = select(_d.id, _d.cycle, _d.endpoint_id).select_from(WITH_EVENT).where(_replayable(choice))
            rows = connection.execute(query.order_by(_d.event_number).limit(limit)).all()
            again = update(delivery_table).where(_d.id.in_([row.id for row in rows]))
            connection.execute(again.values(cycle=_d.cycle + 1, **_opened()))
            return [(row.id, job_id_of(row.id, row.cycle + 1), row.endpoint_id) for row in rows]

        return await self._database.write(store)

    async def with_order(self, endpoint_ids: Set[str]) -> set[str]:
        """Return those of the endpoints that get one event at a time."""
        query = select(endpoint_table.c.id).where(endpoint_table.c.id.in_(endpoint_ids), endpoint_table.c.fifo)
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))

    async def now(self) -> int:
        """Return the database's time (ms since the epoch)."""
        return await self._database.read(lambda connection: connection.execute(select(now_ms())).scalar_one())


def _replayable(choice: Choice) -> ColumnElement[bool]:
    enabled = exists().where(endpoint_table.c.id == _d.endpoint_id, endpoint_table.c.enabled)
    return and_(choice.condition(), _d.state != DeliveryState.PENDING, enabled)


def _opened() -> dict[str, object]:
    return {
        "state": DeliveryState.PENDING,
        "tries": 0,
        "next_at": now_ms(),
        "look_at": now_ms() + GRACE_MS,
        "updated_at": now_ms(),
    }


def _one(connection: Connection, delivery_id: str) -> Delivery:
    query = select(*DELIVERY).select_from(WITH_EVENT).where(_d.id == delivery_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UnknownDelivery(delivery_id)
    return delivery_of(row)
