"""Applications of ours that are configured in Celery's ways: real workers have our engine and our guarantees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from celery import Celery

from tests.support.contract_jobs import Trace
from tests.support.fixtures import StartWorker
from tests.support.waiting import wait_until
from tests.support.workers import POOLS, Worker

APPLICATION = "tests.support.configured_app"
EACH_POOL = [pytest.param(pool, marks=[] if pool == "asyncio" else [pytest.mark.slow]) for pool in POOLS]


@pytest.fixture
def producer(broker_url: str) -> Iterator[Celery]:
    queue = {"task_default_queue": "configured"}
    url = broker_url
    with closing(Celery("producer", broker=url, backend=url, set_as_current=False, **queue)) as made:
        yield made


@pytest.mark.parametrize("pool", EACH_POOL)
@pytest.mark.usefixtures("no_key_leaks")
def test_a_killed_workers_task_runs_again_with_an_application_configured_from_a_module(
    producer: Celery, start: StartWorker, broker_url: str, pool: str
) -> None:
    def start_one() -> Worker:
        environment = {"CONFIGURED_URL": broker_url, "CELERIAC_BROKER_URL": "", "CELERIAC_LEASE": "2"}
        return start("unused", pool=pool, application=APPLICATION, environment=environment, concurrency=1)

    trace, gate = Trace(broker_url), uuid4().hex
    first = start_one()
    result = producer.send_task("configured.hold", (gate,))
    wait_until(lambda: trace.of(result.id) == ["start"], "it runs")
    first.kill()
    start_one()
    wait_until(lambda: trace.of(result.id) == ["start", "start"], "it runs again")
    trace.open(gate)
    assert result.get(timeout=60) == gate
    assert producer.send_task("configured.typed", kwargs={"gate": gate}).get(timeout=60) == gate
