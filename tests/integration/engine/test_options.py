"""Celery's options in real workers: what works, and what stops the start instead of being dropped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.exceptions import TimeLimitExceeded

from celeriac.store import keys
from tests.support import options_app
from tests.support.contract_jobs import Trace
from tests.support.fixtures import StartWorker
from tests.support.slow import quick_first
from tests.support.waiting import wait_until
from tests.support.workers import POOLS, Worker

WAIT = 60
KINDS = pytest.mark.parametrize("kind", quick_first(["plain", "class"]))
Serve = Callable[..., Worker]


@pytest.fixture
def serve(start: StartWorker, broker_url: str) -> Serve:
    """Starts a worker of an application with these settings: `serve("class", "solo", result_expires=7)`."""

    def serve_one(
        kind: str, pool: str = "asyncio", *options: str, until: str | None = "ready", **settings: Any
    ) -> Worker:
        environment = {"OPTIONS_KIND": kind, "OPTIONS_URL": broker_url, "OPTIONS_SETTINGS": json.dumps(settings)}
        return start(
            "",
            pool=pool,
            application="tests.support.options_app",
            environment=environment,
            concurrency=1,
            options=options,
            until=until and rf"{until}\.",
        )

    return serve_one


@pytest.fixture
def apps(broker_url: str) -> Iterator[Callable[..., Celery]]:
    """An application as a producer sees it."""
    made: list[Celery] = []

    def make(kind: str, **settings: Any) -> Celery:
        made.append(options_app.create(kind, broker_url, **settings))
        return made[-1]

    yield make
    for app in made:
        app.backend.close()
        app.close()


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("--autoscale=12,2", {}, 2, "--autoscale=12,2 cannot be used: .* --concurrency"),
    ("", {"worker_max_tasks_per_child": 7}, 3, "worker_max_tasks_per_child=7 cannot be used: .* `celeriac worker`"),
    ("--max-tasks-per-child=7", {}, 2, "--max-tasks-per-child=7 cannot be used: .* `celeriac worker`"),
    ("--max-memory-per-child=7", {}, 2, "--max-memory-per-child=7 cannot be used: .* `celeriac worker`"),
    ("", {"broker_password": "sesame"}, 3, "broker_password cannot be used: .* broker_url"),
    ("", {"worker_pool_restarts": True}, 3, "worker_pool_restarts=True cannot be used"),
    (
        "",
        {"worker_cancel_long_running_tasks_on_connection_loss": True},
        3,
        "worker_cancel_long_running_tasks_on_connection_loss=True cannot be used",
    ),
    ("", {"worker_consumer": "celery.worker.consumer:Consumer"}, 3, "worker_consumer=celery.* cannot be used"),
    ("", {"broker_transport_options": {"queue_order_strategy": "odd"}}, 3, "queue_order_strategy='odd': give round"),
    ("", {"broker_transport_options": {"global_keyprefix": "shop"}}, 3, "global_keyprefix cannot be used: .* database"),
]


@pytest.mark.parametrize("case", quick_first(REFUSED, 2), ids=lambda case: case[3][:30])
@KINDS
def test_an_option_that_would_be_dropped_stops_the_start_with_one_line(
    serve: Serve, kind: str, case: tuple[str, dict[str, Any], int, str]
) -> None:
    option, settings, code, line = case
    worker = serve(kind, "asyncio", *([option] if option else []), until=None, **settings)
    assert worker.wait_end() == code, worker.log
    said = [text for text in worker.log.splitlines() if text.startswith("Error: ")]
    assert len(said) == 1, worker.log
    assert re.search(line, said[0]), said
    assert "Traceback" not in worker.log
    assert "sesame" not in worker.log


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"result_expires": 0}, {"result_backend_transport_options": {"global_keyprefix": "x"}}]
)
@pytest.mark.parametrize("pool", POOLS)
def test_the_class_refuses_what_its_records_cannot_do(serve: Serve, pool: str, settings: dict[str, Any]) -> None:
    worker = serve("class", pool, until=None, **settings)
    assert worker.wait_end() == 3, worker.log


@pytest.mark.slow
def test_other_pools_take_what_is_celerys(serve: Serve, apps: Callable[..., Celery]) -> None:
    serve("plain", "prefork", "--max-tasks-per-child=1", "--autoscale=2,1", worker_pool_restarts=True)
    note = apps("plain").tasks["options.note"]
    assert note.delay("x", "1").get(timeout=WAIT) != note.delay("x", "2").get(timeout=WAIT)


ORDERS = {
    "sorted": ["a", "a", "a", "b", "b", "b", "c", "c", "c"],
    "priority": ["c", "c", "c", "a", "a", "a", "b", "b", "b"],
    "round_robin": ["a", "b", "c"] * 3,
}


@pytest.mark.parametrize("strategy", quick_first(list(ORDERS)))
@pytest.mark.parametrize("pool", quick_first(POOLS))
@KINDS
def test_queues_are_served_in_the_order_of_the_strategy(
    serve: Serve, apps: Callable[..., Celery], kind: str, pool: str, strategy: str, broker_url: str
) -> None:
    key, order = uuid4().hex, {"broker_transport_options": {"queue_order_strategy": strategy}}
    note = apps(kind).tasks["options.note"]
    results = [note.apply_async((key, queue), queue=queue) for queue in "abcabcabc"]
    serve(kind, pool, "--queues=c,a,b", **order)
    for result in results:
        result.get(timeout=WAIT)
    ran = Trace(broker_url).of(key)
    if strategy == "round_robin":  # whichever is first
        assert all(sorted(ran[start : start + 3]) == ["a", "b", "c"] for start in (0, 3, 6)), ran
    else:
        assert ran == ORDERS[strategy]


@pytest.mark.parametrize("pool", quick_first(POOLS))
def test_the_expiry_of_results_that_a_user_sets_is_that_of_the_classes_jobs(
    serve: Serve, apps: Callable[..., Celery], broker: redis.Redis, pool: str
) -> None:
    settings = {"result_expires": 500, "result_failure_expires": 900}
    app = apps("class", **settings)
    serve("class", pool, **settings)
    done, failed = app.tasks["options.note"].delay("x", "y"), app.tasks["options.fail"].delay()
    done.get(timeout=WAIT)
    failed.get(timeout=WAIT, propagate=False)
    for result, life in ((done, 500), (failed, 900)):
        for key in (keys.record(result.id), keys.result(result.id), keys.events(result.id)):
            wait_until(lambda key=key, life=life: life - 60 < broker.ttl(key) <= life, f"{key} lives for {life} s")


@pytest.mark.parametrize("name", ["nap", "nap_async"])
@KINDS
def test_a_time_limit_of_the_command_line_is_that_of_tasks_without_one(
    serve: Serve, apps: Callable[..., Celery], kind: str, name: str
) -> None:
    serve(kind, "asyncio", "--time-limit=0.3")
    with pytest.raises(TimeLimitExceeded):
        apps(kind).tasks[f"options.{name}"].delay(60).get(timeout=WAIT)


@KINDS
def test_a_content_type_that_is_not_accepted_is_not_run(
    serve: Serve, apps: Callable[..., Celery], kind: str, broker_url: str
) -> None:
    worker, key = serve(kind, "asyncio", accept_content=["yaml"]), uuid4().hex
    apps(kind).tasks["options.note"].delay(key, "ran")
    worker.wait_for_log("ContentDisallowed")
    assert Trace(broker_url).of(key) == []
