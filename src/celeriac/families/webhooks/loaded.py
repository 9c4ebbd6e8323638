"""Reads what the jobs of deliveries need: many deliveries with one query, and each of their endpoints once."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import RowMapping

from celeriac.database.clock import now_ms
from celeriac.families.webhooks.endpoints import endpoint_of
from celeriac.families.webhooks.model import Delivery, DeliveryState, Endpoint, Event, job_id_of
from celeriac.families.webhooks.tables import delivery_table, endpoint_table, event_table

_d, _v = delivery_table.c, event_table.c

#: The columns of a `Delivery`, in its order.
DELIVERY = (
    *(_d.id, _v.id.label("event_id"), _d.event_number, _v.type.label("event_type"), _d.endpoint_id, _d.state),
    *(_d.cycle, _d.tries, _d.attempts, _d.status, _d.error, _d.next_at, _v.created_at, _d.updated_at),
)
WITH_EVENT = delivery_table.join(event_table, _d.event_number == _v.number)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A delivery with all that is needed to try it.

    Attributes:
        now: the database's time when it was read (ms since the epoch).
        has_turn: False if the endpoint gets one event at a time, and an earlier one is open.
    """

    delivery: Delivery
    event: Event
    endpoint: Endpoint
    now: int
    has_turn: bool = True


def load(connection: Connection, ids: Sequence[str]) -> list[Loaded | None]:
    """Return the deliveries with these ids; None for those that do not exist."""
    query = select(*DELIVERY, _v.owner, _v.body, now_ms().label("now")).select_from(WITH_EVENT).where(_d.id.in_(ids))
    rows = connection.execute(query).mappings().all()
    chosen = select(endpoint_table).where(endpoint_table.c.id.in_({row["endpoint_id"] for row in rows}))
    endpoints = {row["id"]: endpoint_of(row) for row in connection.execute(chosen).mappings()}
    heads = _heads(connection, [one.id for one in endpoints.values() if one.fifo])
    loaded: dict[str, Loaded] = {}
    for row in rows:
        endpoint = endpoints.get(row["endpoint_id"])
        if endpoint is not None:  # deleted between the two queries
            has_turn = not endpoint.fifo or heads.get(endpoint.id) in (None, row["event_number"])
            loaded[row["id"]] = Loaded(delivery_of(row), _event_of(row), endpoint, row["now"], has_turn)
    return [loaded.get(one) for one in ids]


def changed_at(connection: Connection, endpoint_ids: Set[str]) -> dict[str, int]:
    """Return when somebody last changed each endpoint. Their circuits do not count."""
    table = endpoint_table.c
    query = select(table.id, table.updated_at).where(table.id.in_(endpoint_ids))
    return {row.id: row.updated_at for row in connection.execute(query)}


def delivery_of(row: RowMapping) -> Delivery:
    """Make a delivery of a row with the columns `DELIVERY`."""
    values: dict[str, Any] = {name: row[name] for name in Delivery.__slots__}
    values["state"] = DeliveryState(row["state"])
    return Delivery(**values)


def _event_of(row: RowMapping) -> Event:
    return Event(row["event_number"], row["event_id"], row["owner"], row["event_type"], row["body"], row["created_at"])


def _heads(connection: Connection, endpoint_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of the first open event of each endpoint."""
    if not endpoint_ids:
        return {}
    query = (
        select(_d.endpoint_id, func.min(_d.event_number))
        .where(_d.endpoint_id.in_(endpoint_ids), _d.state == DeliveryState.PENDING)
        .group_by(_d.endpoint_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def next_in_line(connection: Connection, endpoint_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the first open delivery of each endpoint, and the id of its job."""
    found: list[tuple[str, str]] = []
    for endpoint_id, number in _heads(connection, endpoint_ids).items():
        query = select(_d.id, _d.cycle).where(_d.endpoint_id == endpoint_id, _d.event_number == number)
        found += [(row.id, job_id_of(row.id, row.cycle)) for row in connection.execute(query)]
    return found
