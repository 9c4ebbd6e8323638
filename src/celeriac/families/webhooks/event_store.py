"""Stores events together with their deliveries, in one transaction: whoever reads one finds all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from celeriac.core.errors import IdempotencyConflict
from celeriac.core.ids import new_ids
from celeriac.database.clock import now_ms
from celeriac.families.webhooks.model import DeliveryState, Event
from celeriac.families.webhooks.patterns import matches
from celeriac.families.webhooks.tables import delivery_table, endpoint_table, event_table

#: How long after it should have run a delivery's job is looked for. Until then its enqueuer is at it, or it waits.
GRACE_MS = 60_000
_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to store. `only` names the single endpoint that gets it, whatever its types; None: all that match."""

    id: str
    owner: str
    type: str
    body: bytes
    fingerprint: str
    only: str | None = None
    needs_endpoint: bool = False


@dataclass(slots=True)
class Stored:
    """An event that is stored by now.

    Attributes:
        is_new: whether it was stored just now. If not, an equal one with its id was there already.
        deliveries: ids of those whose jobs are to be enqueued.
        queues: endpoints that get one event at a time, and have a new one.
        held: how many deliveries wait for endpoints that are disabled.
        conflict: another event has its id; nothing was stored.
    """

    event: Event
    is_new: bool
    deliveries: list[str] = field(default_factory=list[str])
    queues: list[str] = field(default_factory=list[str])
    held: int = 0
    conflict: IdempotencyConflict | None = None


def new_event(
    event_type: str,
    event_id: str,
    owner: str,
    data: bytes,
    *,
    only: str | None = None,
    needs_endpoint: bool = False,
) -> NewEvent:
    """Make an event of `data`, which is JSON. Its body is that of Standard Webhooks: type, timestamp and data."""
    content = hashlib.sha256(b"\0".join((event_type.encode(), owner.encode(), data))).hexdigest()
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = b'{"type":"%b","timestamp":"%b","data":%b}' % (event_type.encode(), at.encode(), data)
    return NewEvent(
        id=event_id,
        owner=owner,
        type=event_type,
        body=body,
        fingerprint=content,
        only=only,
        needs_endpoint=needs_endpoint,
    )


def store_events(connection: Connection, events: Sequence[NewEvent]) -> list[Stored]:
    """Store events with a delivery for each endpoint that they match, in the current transaction."""
    subscribers = _Subscribers(connection)
    return [stored for event in events if (stored := _store(connection, event, subscribers)) is not None]


def _store(connection: Connection, event: NewEvent, subscribers: _Subscribers) -> Stored | None:
    found = subscribers.of(event)
    if event.needs_endpoint and not found:
        return None
    values = {"id": event.id, "owner": event.owner, "type": event.type, "body": event.body}
    make = postgres_insert if connection.dialect.name == "postgresql" else sqlite_insert
    added: Any = (
        make(event_table)
        .values(**values, fingerprint=event.fingerprint, created_at=now_ms())
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(event_table.c.number, event_table.c.created_at)
    )
    row = connection.execute(added).one_or_none()
    if row is None:
        return _known(connection, event)
    stored = Stored(Event(row.number, event.id, event.owner, event.type, event.body, row.created_at), is_new=True)
    _add_deliveries(connection, stored, found)
    return stored


def _known(connection: Connection, event: NewEvent) -> Stored:
    row = connection.execute(select(event_table).where(event_table.c.id == event.id)).one()
    known = Stored(Event(row.number, row.id, row.owner, row.type, row.body, row.created_at), is_new=False)
    if row.fingerprint != event.fingerprint:
        known.conflict = IdempotencyConflict(
            f"there is an event with id {event.id!r} and another type, owner or payload; use a new id for a new event"
        )
    return known


def _add_deliveries(connection: Connection, stored: Stored, found: Sequence[_Subscriber]) -> None:
    at, rest = stored.event.created_at, iter(found)
    while some := list(islice(rest, _ROWS)):
        rows: list[dict[str, Any]] = []
        for subscriber, delivery_id in zip(some, new_ids(len(some)), strict=True):
            state = DeliveryState.PENDING if subscriber.enabled else DeliveryState.HELD
            rows.append(
                {
                    "id": delivery_id,
                    "event_number": stored.event.number,
                    "endpoint_id": subscriber.id,
                    "state": state,
                    "next_at": at if subscriber.enabled else None,
                    **{"cycle": 1, "tries": 0, "attempts": 0, "look_at": at + GRACE_MS, "updated_at": at},
                }
            )
            if not subscriber.enabled:
                stored.held += 1
            elif subscriber.fifo:
                stored.queues.append(subscriber.id)
            else:
                stored.deliveries.append(delivery_id)
        connection.execute(insert(delivery_table), rows)


@dataclass(frozen=True, slots=True)
class _Subscriber:
    id: str
    event_types: Sequence[str]
    enabled: bool
    fifo: bool


class _Subscribers:
    """Finds endpoints for events. Those of one owner are read once in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._by_owner: dict[str, list[_Subscriber]] = {}

    def of(self, event: NewEvent) -> list[_Subscriber]:
        e = endpoint_table.c
        query = select(e.id, e.event_types, e.enabled, e.fifo)
        if event.only is not None:
            return [_Subscriber(*row) for row in self._connection.execute(query.where(e.id == event.only))]
        if event.owner not in self._by_owner:
            rows = self._connection.execute(query.where(e.owner == event.owner))
            self._by_owner[event.owner] = [_Subscriber(*row) for row in rows]
        return [one for one in self._by_owner[event.owner] if matches(one.event_types, event.type)]
