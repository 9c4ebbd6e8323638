"""An application as teams have it who never heard of Celeriac: stock Celery, a base class, canvas, a config module.

Workers find it as `tests.support.plain_app`; PLAIN_CONFIG names the config module, and PLAIN_URL the broker.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

from tests.support.contract_jobs import Trace


class OrderTask(Task):
    """The team's own base class: it keeps an account of what became of its tasks."""

    abstract = True

    @property
    def trace(self) -> Trace:
        return Trace(os.environ["PLAIN_URL"])

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.trace.add(task_id, "start")

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.trace.add(task_id, "retry")

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.trace.add(task_id, f"failure {type(exc).__name__}")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.trace.add(task_id, "success")


def create(config: Any = None, **options: Any) -> Celery:
    """The application; `config` is what `config_from_object` takes."""
    app = Celery("orders", task_cls=OrderTask, **options)
    if config is not None:
        app.config_from_object(config)
    _add_tasks(app)
    return app


def _add_tasks(app: Celery) -> None:
    @app.task(name="orders.add", shared=False)
    def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(name="orders.total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="orders.fail", shared=False)
    def fail(message: str) -> None:
        raise ValueError(message)

    @app.task(name="orders.flaky", shared=False, bind=True, max_retries=3)
    def flaky(self: Any, failures: int) -> int:
        if self.request.retries < failures:
            raise self.retry(exc=ConnectionError("not yet"), countdown=0.1)
        return int(self.request.retries)

    @app.task(name="orders.wobbly", shared=False, bind=True, autoretry_for=(ConnectionError,), max_retries=5)
    def wobbly(self: Any, failures: int) -> int:
        self.default_retry_delay = 0.1
        if self.request.retries < failures:
            raise ConnectionError("not yet")
        return int(self.request.retries)

    @app.task(name="orders.describe", shared=False, bind=True)
    def describe(self: Any, value: int) -> dict[str, Any]:
        request = self.request
        return {"id": request.id, "value": value, "chain": bool(request.chain), "hostname": request.hostname}

    @app.task(name="orders.note", shared=False)
    def note(value: Any, key: str) -> str:
        Trace(os.environ["PLAIN_URL"]).add(key, f"note {value}")
        return key

    @app.task(name="orders.complain", shared=False)
    def complain(request: Any, exc: BaseException, traceback: str, key: str) -> None:
        Trace(os.environ["PLAIN_URL"]).add(key, f"complaint {type(exc).__name__}")

    @app.task(name="orders.silent", shared=False, ignore_result=True)
    def silent(key: str) -> int:
        Trace(os.environ["PLAIN_URL"]).add(key, "silent")
        return 42

    @app.task(name="orders.hold", shared=False, bind=True)
    def hold(self: Any, gate: str) -> str:
        while not self.trace.is_open(gate):
            time.sleep(0.02)
        self.trace.add(self.request.id, "end")
        return gate

    @app.task(name="orders.nap", shared=False)
    def nap(number: int) -> int:
        time.sleep(0.02)
        return number

    @app.task(name="orders.hostname", shared=False, bind=True)
    def hostname(self: Any, gate: str) -> str:
        while not self.trace.is_open(gate):
            time.sleep(0.02)
        return str(self.request.hostname)

    @app.task(name="orders.crash", shared=False, bind=True)
    def crash(self: Any, gate: str) -> str:
        if self.trace.is_open(gate):
            return "survived"
        os._exit(9)

    @app.task(name="orders.refuse", shared=False, bind=True)
    def refuse(self: Any, gate: str) -> str:
        if self.trace.is_open(gate):
            return "accepted"
        raise Reject("not today", requeue=False)

    @app.task(name="orders.every", shared=False)
    def every(key: str) -> None:
        Trace(os.environ["PLAIN_URL"]).add(key, "tick")


if "PLAIN_CONFIG" in os.environ:
    app = create(os.environ["PLAIN_CONFIG"])
