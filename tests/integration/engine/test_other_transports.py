"""A worker of a plain application whose broker is none of ours, as in tests in memory: all is as in Celery."""

from __future__ import annotations

from celery import Celery
from celery.contrib.testing.worker import start_worker

from celeriac import celery_settings


def test_tasks_run_with_a_broker_in_memory() -> None:
    app = Celery("memory", set_as_current=False)
    app.conf.update(celery_settings("redis://127.0.0.1:1/0"))
    app.conf.update(broker_url="memory://", broker_transport=None, result_backend="cache+memory://", worker_pool="solo")

    @app.task(name="double", rate_limit="100/s")
    def double(number: int) -> int:
        return 2 * number

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        assert double.delay(21).get(timeout=30) == 42
