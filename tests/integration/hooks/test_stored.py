"""What the database does for webhooks: the same on SQLite and on Postgres."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import update

from celeriac.database.engine import Database
from celeriac.families.webhooks import WebhooksFamily
from celeriac.families.webhooks.deliveries import UNSUCCESSFUL, Choice, Deliveries
from celeriac.families.webhooks.endpoints import Endpoints
from celeriac.families.webhooks.event_store import Stored, new_event, store_events
from celeriac.families.webhooks.health import Rules
from celeriac.families.webhooks.loaded import Loaded, load, next_in_line
from celeriac.families.webhooks.model import DeliveryState, Endpoint
from celeriac.families.webhooks.recording import Result, record
from celeriac.families.webhooks.sweep import delete_old
from celeriac.families.webhooks.tables import endpoint_table, event_table
from tests.support.databases import database_url

__all__ = ["database_url"]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RULES = Rules(first_delay=5, disable_after=5 * 86400, disable_failures=12)
DAY_MS = 86_400_000


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url, lambda: [WebhooksFamily.migrations()])
    await database.ensure_schema()
    yield database
    await database.dispose()


async def add(database: Database, **changes: Any) -> Endpoint:
    values: dict[str, Any] = {
        "url": "https://example.com/",
        "event_types": ["*"],
        "owner": "",
        "description": "",
        "headers": {},
    }
    return await Endpoints(database).create({**values, "fifo": False, **changes}, SECRET)


async def emit(database: Database, name: str, **options: Any) -> Stored:
    event = new_event("order.paid", name, "", b"{}", **options)
    return (await database.write(lambda connection: store_events(connection, [event])))[0]


async def loaded(database: Database, *ids: str) -> list[Loaded]:
    found = await database.read(lambda connection: load(connection, ids))
    return [one for one in found if one is not None]


async def write(database: Database, *results: Result) -> list[Stored]:
    return await database.write(lambda connection: record(connection, results, RULES))


def failed(one: Loaded, state: DeliveryState = DeliveryState.PENDING) -> Result:
    return Result(loaded=one, state=state, delay_ms=1000, error="status 500", status=500)


async def test_an_event_has_a_delivery_for_each_endpoint_and_those_of_disabled_ones_are_held(
    database: Database,
) -> None:
    for _ in range(3):
        await add(database)
    disabled, ordered = await add(database), await add(database, fifo=True)
    await add(database, event_types=["invoice.*"])
    await add(database, owner="ann")
    await Endpoints(database).disable(disabled.id, "by hand")
    stored = await emit(database, "e1")
    assert (len(stored.deliveries), stored.queues, stored.held) == (3, [ordered.id], 1)
    again = await emit(database, "e1")
    assert not again.is_new and again.conflict is None and again.deliveries == []
    other = new_event("order.paid", "e1", "", b"[]")
    (refused,) = await database.write(lambda connection: store_events(connection, [other]))
    assert refused.conflict is not None
    assert await Deliveries(database).counts(stored.event.number) == {"pending": 4, "held": 1}


async def test_results_may_be_written_twice(database: Database) -> None:
    await add(database)
    stored = await emit(database, "e1")
    (one,) = await loaded(database, *stored.deliveries)
    for _ in range(2):
        await write(database, failed(one))
    delivery = await Deliveries(database).get(one.delivery.id)
    assert (delivery.state, delivery.attempts, delivery.tries) == ("pending", 1, 1)
    assert len(await Deliveries(database).attempts(one.delivery.id)) == 1
    (one,) = await loaded(database, *stored.deliveries)
    await Deliveries(database).abort(one.delivery.id)
    await write(database, failed(one))
    assert (await Deliveries(database).get(one.delivery.id)).state == "aborted"
    await write(database, Result(loaded=one, state=DeliveryState.DELIVERED, status=200))
    assert (await Deliveries(database).get(one.delivery.id)).state == "delivered"  # it has arrived all the same


async def test_a_try_that_ends_after_its_delivery_was_cancelled_and_replayed_has_a_number_of_its_own(
    database: Database,
) -> None:
    await add(database)
    stored = await emit(database, "e1")
    (before,) = await loaded(database, *stored.deliveries)
    deliveries = Deliveries(database)
    await deliveries.abort(before.delivery.id)
    await deliveries.replay(Choice(delivery=before.delivery.id), limit=1)
    (after,) = await loaded(database, *stored.deliveries)
    late = Result(loaded=before, state=DeliveryState.EXHAUSTED, status=500, error="status 500")
    for results in ([Result(loaded=after, state=DeliveryState.DELIVERED, status=200)], [late]):
        await write(database, *results)
    log = await deliveries.attempts(before.delivery.id)
    assert [(one.number, one.status) for one in log] == [(1, 200), (2, 500)]
    delivery = await deliveries.get(before.delivery.id)
    assert (delivery.state, delivery.attempts, delivery.tries, delivery.cycle) == ("delivered", 2, 1, 2)


async def test_results_of_a_deleted_endpoint_keep_no_others_from_the_log(database: Database) -> None:
    gone, kept = await add(database), await add(database)
    both = await loaded(database, *(await emit(database, "e1")).deliveries)
    await Endpoints(database).delete(gone.id)
    delivered = [Result(loaded=one, state=DeliveryState.DELIVERED, status=200) for one in both]
    await write(database, *delivered)
    ((one,), _) = await Deliveries(database).page(Choice(), after=None, limit=5)
    assert (one.endpoint_id, one.state) == (kept.id, "delivered")
    await write(database, *[result for result in delivered if result.loaded.endpoint.id == gone.id])


async def test_an_endpoint_that_fails_for_days_is_disabled_and_its_owner_told(database: Database) -> None:
    endpoint = await add(database, event_types=["order.*"])
    await add(database, event_types=["webhooks.*"])
    ids = [one for name in ("e1", "e2", "e3") for one in (await emit(database, name)).deliveries]
    for _ in range(4):
        first, second, _third = await loaded(database, *ids)
        await write(database, failed(first), failed(second))
    long_ago = update(endpoint_table).where(endpoint_table.c.id == endpoint.id)
    long_ago = long_ago.values(failing_since=endpoint_table.c.failing_since - 6 * DAY_MS)
    await database.write(lambda connection: connection.execute(long_ago))
    first, second, third = await loaded(database, *ids)
    assert await write(database, failed(first), failed(second)) == []
    assert await write(database, failed(first)) == []
    told = await write(database, failed(third))  # twelve failures of three messages
    assert [one.event.type for one in told] == ["webhooks.endpoint.disabled"] and len(told[0].deliveries) == 1
    shown = await Endpoints(database).get(endpoint.id)
    assert not shown.enabled and "6.0 days: 12 times, 3 messages" in (shown.disabled_reason or "")
    assert {one.delivery.state for one in await loaded(database, *ids)} == {DeliveryState.HELD}


async def test_a_success_closes_the_circuit_and_forgets_the_failures(database: Database) -> None:
    endpoint = await add(database)
    ids = [one for n in range(6) for one in (await emit(database, f"e{n}")).deliveries]
    *failing, last = await loaded(database, *ids)
    await write(database, *map(failed, failing))
    shown = await Endpoints(database).get(endpoint.id)
    assert (shown.failures, shown.trips) == (5, 1) and shown.open_until is not None
    await write(database, Result(loaded=last, state=DeliveryState.DELIVERED, status=200))
    shown = await Endpoints(database).get(endpoint.id)
    assert (shown.failures, shown.trips, shown.open_until, shown.failing_since) == (0, 0, None, None)


async def test_the_first_open_delivery_of_an_endpoint_is_next_in_line(database: Database) -> None:
    endpoint = await add(database, fifo=True)
    for name in ("e1", "e2"):
        await emit(database, name)
    for name in ("e1", "e2"):
        ((delivery_id, job_id),) = await database.read(lambda connection: next_in_line(connection, [endpoint.id]))
        (one,) = await loaded(database, delivery_id)
        assert (one.event.id, one.has_turn, job_id) == (name, True, one.delivery.job_id)
        await write(database, Result(loaded=one, state=DeliveryState.DELIVERED, status=200))
    assert await database.read(lambda connection: next_in_line(connection, [endpoint.id])) == []


async def test_a_replay_opens_what_it_counts_with_new_jobs(database: Database) -> None:
    endpoint = await add(database)
    ids = [one for n in range(5) for one in (await emit(database, f"e{n}")).deliveries]
    given_up = [failed(one, DeliveryState.EXHAUSTED) for one in (await loaded(database, *ids))[:3]]
    await write(database, *given_up)
    deliveries, choice = Deliveries(database), Choice(endpoint=endpoint.id, states=UNSUCCESSFUL)
    assert await deliveries.count(choice) == 3
    replayed = await deliveries.replay(choice, limit=2)
    assert [job_id for _, job_id, _ in replayed] == [f"{one}.2" for one, _, _ in replayed]
    assert await deliveries.count(choice) == 1
    page, following = await deliveries.page(Choice(states=[DeliveryState.PENDING]), after=None, limit=3)
    assert len(page) == 3 and following is not None
    rest, end = await deliveries.page(Choice(states=[DeliveryState.PENDING]), after=following, limit=3)
    assert (len(rest), end) == (1, None)


async def test_old_events_are_deleted_unless_a_delivery_is_open(database: Database) -> None:
    await add(database)
    done, still_open, _young = [await emit(database, name) for name in ("e1", "e2", "e3")]
    (one,) = await loaded(database, *done.deliveries)
    await write(database, Result(loaded=one, state=DeliveryState.DELIVERED, status=200))
    old = update(event_table).where(event_table.c.id.in_(["e1", "e2"]))
    old = old.values(created_at=event_table.c.created_at - 31 * DAY_MS)
    await database.write(lambda connection: connection.execute(old))
    assert await delete_old(database, 30 * 86400) == 1
    assert await loaded(database, *done.deliveries) == []
    assert len(await loaded(database, *still_open.deliveries)) == 1
