"""Writes what came of tries: the log, the state of each delivery, the health of each endpoint. Many in a transaction.

The same results can be written again: a writer that does not know whether its transaction was committed repeats it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, String, bindparam, case, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from celeriac.core import codec
from celeriac.database.clock import now_ms
from celeriac.families.webhooks.endpoints import disable
from celeriac.families.webhooks.event_store import GRACE_MS, NewEvent, Stored, new_event, store_events
from celeriac.families.webhooks.health import DISABLING_MESSAGES, Health, Rules, after_failures, may_be_disabled
from celeriac.families.webhooks.loaded import Loaded
from celeriac.families.webhooks.model import (
    DELIVERY_EXHAUSTED,
    ENDPOINT_DISABLED,
    OWN_TYPES,
    DeliveryState,
    Endpoint,
)
from celeriac.families.webhooks.tables import attempt_table, delivery_table, endpoint_table

_d, _e = delivery_table.c, endpoint_table.c
_HEALTHY = Health()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one try.

    Attributes:
        state: the delivery's new state; `PENDING`: it is tried again after `delay_ms`.
        counts: whether it was a try at all. A refusal of our own, or a cancellation, is none.
        disables: why the endpoint is to be disabled; None: it is not.
    """

    loaded: Loaded
    state: DeliveryState
    counts: bool = True
    delay_ms: int = 0
    status: int | None = None
    error: str | None = None
    milliseconds: int = 0
    headers: dict[str, str] | None = None
    excerpt: str | None = None
    disables: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it says something bad about the endpoint."""
        return self.counts and self.state in (DeliveryState.PENDING, DeliveryState.EXHAUSTED)


_state: ColumnElement[str] = bindparam("b_state", type_=String())
_next_at: ColumnElement[int | None] = bindparam("b_next_at", type_=BigInteger())
_is_final = _state == DeliveryState.DELIVERED
#: What was held or aborted meanwhile stays so, unless it has arrived.
_UPDATE = (
    update(delivery_table)
    .where(_d.id == bindparam("b_id"), _d.cycle == bindparam("b_cycle"))
    .values(
        state=case((or_(_is_final, _d.state == DeliveryState.PENDING), _state), else_=_d.state),
        next_at=case((_d.state == DeliveryState.PENDING, _next_at), else_=None),
        tries=bindparam("b_tries"),
        attempts=bindparam("b_attempts"),
        status=bindparam("b_status"),
        error=bindparam("b_error"),
        look_at=bindparam("b_look_at"),
        updated_at=bindparam("b_now"),
    )
)
#: For a try of an earlier cycle, of which only the log hears.
_COUNT = update(delivery_table).where(_d.id == bindparam("b_id")).values(attempts=bindparam("b_attempts"))


def record(connection: Connection, results: Sequence[Result], rules: Rules) -> list[Stored]:
    """Write results, and return the events that this has brought about: notices for the endpoints' owners."""
    now = connection.execute(select(now_ms())).scalar_one()
    known = _known(connection, results)
    results = [result for result in results if result.loaded.delivery.id in known]
    if not results:
        return []
    numbered = [(result, known[result.loaded.delivery.id].number_of(result)) for result in results]
    _log(connection, numbered, now)
    connection.execute(_UPDATE, [_changes(result, number, now) for result, number in numbered])
    late = [
        {"b_id": delivery.id, "b_attempts": number}
        for delivery, number in ((result.loaded.delivery, number) for result, number in numbered)
        if known[delivery.id].cycle != delivery.cycle
    ]
    if late:
        connection.execute(_COUNT, late)
    notices = _judge_endpoints(connection, results, now, rules)
    notices += [_exhausted(result) for result in results if result.state is DeliveryState.EXHAUSTED]
    return store_events(connection, [notice for notice in notices if notice is not None])


@dataclass(slots=True)
class _Known:
    """What the database says of a delivery now."""

    cycle: int
    tries: int
    attempts: int

    def number_of(self, result: Result) -> int:
        """Give a try its number in the log; the last one again if it was written before, or was no try.

        A try of an earlier cycle, which was under way when the delivery was cancelled and replayed, has its own number.
        """
        delivery = result.loaded.delivery
        if not result.counts or (self.cycle == delivery.cycle and self.tries > delivery.tries):
            return self.attempts
        self.attempts += 1
        return self.attempts


def _known(connection: Connection, results: Sequence[Result]) -> dict[str, _Known]:
    """Look for deliveries, as their endpoint may be deleted meanwhile. They stay until this transaction ends."""
    ids = {result.loaded.delivery.id for result in results}
    query = select(_d.id, _d.cycle, _d.tries, _d.attempts).where(_d.id.in_(ids)).order_by(_d.id).with_for_update()
    return {row.id: _Known(row.cycle, row.tries, row.attempts) for row in connection.execute(query)}


def _log(connection: Connection, numbered: Sequence[tuple[Result, int]], now: int) -> None:
    rows = [
        {
            "delivery_id": result.loaded.delivery.id,
            "number": number,
            "at": now - result.milliseconds,
            "milliseconds": result.milliseconds,
            "status": result.status,
            "error": result.error,
            "headers": result.headers,
            "excerpt": result.excerpt,
        }
        for result, number in numbered
        if result.counts
    ]
    if rows and connection.dialect.name == "postgresql":
        connection.execute(postgres_insert(attempt_table).on_conflict_do_nothing(), rows)
    elif rows:
        connection.execute(insert(attempt_table).prefix_with("OR IGNORE"), rows)


def _changes(result: Result, number: int, now: int) -> dict[str, Any]:
    delivery = result.loaded.delivery
    next_at = now + result.delay_ms if result.state is DeliveryState.PENDING else None
    return {
        "b_id": delivery.id,
        "b_cycle": delivery.cycle,
        "b_state": result.state,
        "b_tries": delivery.tries + result.counts,
        "b_attempts": number,
        "b_status": result.status,
        "b_error": result.error,
        "b_next_at": next_at,
        "b_look_at": (next_at or now) + GRACE_MS,
        "b_now": now,
    }


def _judge_endpoints(
    connection: Connection, results: Sequence[Result], now: int, rules: Rules
) -> list[NewEvent | None]:
    """Update the health of the endpoints, and disable those that have failed for too long."""
    healthy = {r.loaded.endpoint.id for r in results if r.state is DeliveryState.DELIVERED}
    if healthy:
        better = update(endpoint_table).where(_e.id.in_(healthy), _e.failures > 0)
        connection.execute(better.values(**asdict(_HEALTHY)))
    failures = Counter(r.loaded.endpoint.id for r in results if r.failed)
    endpoints = {r.loaded.endpoint.id: r.loaded.endpoint for r in results}
    reasons = {r.loaded.endpoint.id: r.disables for r in results if r.disables}
    for endpoint_id, count in sorted(failures.items()):  # one order for all, so that no two wait for each other
        if endpoint_id in healthy or endpoint_id in reasons:
            continue
        health = _worsen(connection, endpoint_id, count, now, rules)
        if health is not None and may_be_disabled(health, now, rules):
            messages = _messages_failed(connection, endpoint_id, health.failing_since or 0)
            if messages >= DISABLING_MESSAGES:
                days = (now - (health.failing_since or now)) / 86_400_000
                reasons[endpoint_id] = f"it failed for {days:.1f} days: {health.failures} times, {messages} messages"
    return [_disable(connection, endpoints[one], reason, now) for one, reason in sorted(reasons.items())]


def _worsen(connection: Connection, endpoint_id: str, count: int, now: int, rules: Rules) -> Health | None:
    query = select(_e.failing_since, _e.failures, _e.trips, _e.open_until).where(_e.id == endpoint_id, _e.enabled)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        return None
    health = after_failures(Health(*row), count, now, rules)
    connection.execute(update(endpoint_table).where(_e.id == endpoint_id).values(**asdict(health)))
    return health


def _messages_failed(connection: Connection, endpoint_id: str, since: int) -> int:
    """Count the messages that were tried since then. All of these tries failed, as there was no success."""
    tried = (_d.endpoint_id == endpoint_id, _d.attempts > 0, _d.updated_at >= since)
    some = select(_d.id).where(*tried).limit(DISABLING_MESSAGES).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def _disable(connection: Connection, endpoint: Endpoint, reason: str, now: int) -> NewEvent | None:
    query = select(_e.enabled).where(_e.id == endpoint.id)
    if not connection.execute(query.with_for_update()).scalar_one_or_none():
        return None  # it was disabled before, or deleted
    disable(connection, endpoint.id, reason)
    facts = {"endpoint": endpoint.id, "url": endpoint.url, "reason": reason}
    return notice(ENDPOINT_DISABLED, f"disabled-{endpoint.id}-{now}", endpoint.owner, facts)


def _exhausted(result: Result) -> NewEvent | None:
    event, delivery, endpoint = result.loaded.event, result.loaded.delivery, result.loaded.endpoint
    if event.type.startswith(OWN_TYPES):
        return None  # a notice of a notice would go on for ever
    facts = {"delivery": delivery.id, "event": event.id, "type": event.type, "endpoint": endpoint.id}
    facts |= {"attempts": delivery.attempts + 1, "error": result.error}
    return notice(DELIVERY_EXHAUSTED, f"exhausted-{delivery.id}-{delivery.cycle}", endpoint.owner, facts)


def notice(event_type: str, event_id: str, owner: str, facts: dict[str, Any]) -> NewEvent:
    """Make an event of our own. It is stored only if an endpoint wants it."""
    data = codec.dumps(facts)
    return new_event(event_type, event_id, owner, data, needs_endpoint=True)
