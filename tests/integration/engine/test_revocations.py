"""`app.control.revoke`: heard by the workers that are there, and known to those that come later."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from celery import Celery

from celeriac.store import keys
from celeriac.store.revocations import LIFE_MS, remember
from celeriac.store.script import run_blocking
from tests.conftest import StartWorker
from tests.support import plain_twins
from tests.support.contract_jobs import Trace
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("no_key_leaks")


@pytest.fixture
def plain(broker_url: str) -> Iterator[Celery]:
    with plain_twins.create(broker_url, set_as_current=False) as app:
        yield app
        app.backend.close()


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork", "threads"]))
async def test_a_revoked_task_is_not_run_by_workers_that_were_not_there(
    plain: Celery, start: StartWorker, broker_url: str, pool: str
) -> None:
    def start_one() -> Worker:
        environment = {"TWINS_URL": broker_url, "PLAIN_URL": broker_url}
        return start("", pool=pool, concurrency=1, application="tests.support.plain_twins", environment=environment)

    trace, gate, key = Trace(broker_url), uuid4().hex, uuid4().hex
    first = start_one()
    held = plain.tasks["def.hold"].delay(gate)
    await eventually(lambda: trace.of(held.id).count("begin") == 1, "the worker is busy")
    revoked = [plain.tasks["def.note"].delay(number, key) for number in range(3)]
    kept = plain.tasks["def.note"].delay(3, key)
    assert plain.control.revoke([result.id for result in revoked[:2]], reply=True)
    assert plain.control.revoke(revoked[2].id, reply=True)
    first.kill()
    second = start_one()
    trace.open(gate)
    assert kept.get(timeout=20) == key
    for result in revoked:
        second.wait_for_log(rf"Discarding revoked task: def\.note\[{result.id}\]")
        assert result.state == "REVOKED"
    assert trace.of(key) == ["note 3"]


def test_the_newest_revocations_are_remembered_for_a_limited_time(broker: redis.Redis) -> None:
    broker.zadd(keys.REVOKED, {"long ago": 1})
    run_blocking(broker, remember(["one", "two"], most=3))
    assert broker.zrange(keys.REVOKED, 0, -1) == [b"one", b"two"]
    run_blocking(broker, remember(["u", "v"], most=3))
    assert broker.zcard(keys.REVOKED) == 3
    assert {b"u", b"v"} < {*broker.zrange(keys.REVOKED, 0, -1)}
    assert 0 < broker.pttl(keys.REVOKED) <= LIFE_MS
