"""Heals what a crash has left: deliveries whose jobs were not enqueued, or have ended. And deletes old events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, exists, select, update

from celeriac.client.client import JobClient
from celeriac.core.errors import UnknownJob
from celeriac.core.states import JobState
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.webhooks.emitting import Emitter
from celeriac.families.webhooks.loaded import next_in_line
from celeriac.families.webhooks.model import DeliveryState, job_id_of
from celeriac.families.webhooks.tables import delivery_table, endpoint_table, event_table

_d, _v = delivery_table.c, event_table.c

#: Deliveries that one sweep looks at, and events that one transaction deletes.
_MOST, _CHUNK = 1000, 500
#: After how long a delivery whose job is there is looked at again.
_AGAIN_MS = 600_000


@dataclass(frozen=True, slots=True)
class _Overdue:
    id: str
    cycle: int
    endpoint_id: str
    fifo: bool

    @property
    def job_id(self) -> str:
        return job_id_of(self.id, self.cycle)


async def heal(database: Database, client: JobClient, emitter: Emitter) -> int:
    """Look at deliveries that should have been tried by now, and return how many had no job."""
    overdue = await database.read(_overdue)
    heads = await database.read(lambda c: next_in_line(c, list({one.endpoint_id for one in overdue if one.fifo})))
    jobs = {one.id: one.job_id for one in overdue if not one.fifo} | dict(heads)
    lost: list[tuple[str, str]] = []
    ended: list[str] = []
    for delivery_id, job_id in jobs.items():
        match await _state(client, job_id):
            case None:
                lost.append((delivery_id, job_id))
            case JobState.CANCELLED:
                ended.append(delivery_id)
            case JobState.FAILED | JobState.DEAD:
                await client.retry(job_id)
            case _:
                pass
    await emitter.enqueue(lost)
    await database.write(lambda connection: _looked_at(connection, [*jobs, *(one.id for one in overdue)], ended))
    await emitter.advance([one.endpoint_id for one in overdue if one.fifo] if ended else [])
    return len(lost)


async def delete_old(database: Database, retention_s: float) -> int:
    """Delete events that are older, with their deliveries, unless one of these is open. Return how many."""
    is_open = exists().where(_d.event_number == _v.number, _d.state == DeliveryState.PENDING)
    old = and_(_v.created_at < now_ms() - round(1000 * retention_s), ~is_open)

    def chunk(connection: Connection) -> int:
        numbers = connection.execute(select(_v.number).where(old).limit(_CHUNK)).scalars().all()
        connection.execute(delete(event_table).where(_v.number.in_(numbers)))
        return len(numbers)

    deleted = 0
    while count := await database.write(chunk):
        deleted += count
    return deleted


def _overdue(connection: Connection) -> Sequence[_Overdue]:
    query = (
        select(_d.id, _d.cycle, _d.endpoint_id, endpoint_table.c.fifo)
        .join(endpoint_table, endpoint_table.c.id == _d.endpoint_id)
        .where(_d.state == DeliveryState.PENDING, _d.look_at < now_ms())
        .order_by(_d.look_at)
        .limit(_MOST)
    )
    return [_Overdue(*row) for row in connection.execute(query)]


def _looked_at(connection: Connection, ids: Sequence[str], ended: Sequence[str]) -> None:
    later = update(delivery_table).where(_d.id.in_(ids)).values(look_at=now_ms() + _AGAIN_MS)
    connection.execute(later)
    aborted = update(delivery_table).where(_d.id.in_(ended), _d.state == DeliveryState.PENDING)
    connection.execute(
        aborted.values(state=DeliveryState.ABORTED, error="its job was cancelled", next_at=None, updated_at=now_ms())
    )


async def _state(client: JobClient, job_id: str) -> JobState | None:
    try:
        return (await client.get(job_id)).state
    except UnknownJob:
        return None
