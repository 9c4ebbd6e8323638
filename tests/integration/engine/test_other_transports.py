"""A worker of a plain application whose broker is none of ours, as in tests in memory: all is as in Celery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from celeriac import celery_settings
from celeriac.engine import lease
from celeriac.store.redis.connection import connect_blocking

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def lease_elsewhere() -> Iterator[None]:
    """A lease that another application's worker has left behind in this process; its server is gone."""
    lease.lease_on(NOWHERE, lambda: connect_blocking(NOWHERE, timeout=1), 15)
    yield
    with lease._lock:
        lease._by_server.clear()


@pytest.mark.usefixtures("lease_elsewhere")
def test_tasks_run_with_a_broker_in_memory() -> None:
    app = Celery("memory", set_as_current=False)
    app.conf.update(celery_settings(NOWHERE))
    app.conf.update(broker_url="memory://", broker_transport=None, result_backend="cache+memory://", worker_pool="solo")

    @app.task(name="double", rate_limit="100/s")
    def double(number: int) -> int:
        return 2 * number

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        assert double.delay(21).get(timeout=60) == 42
