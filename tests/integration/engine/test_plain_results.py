"""The results of a plain Celery application on our result backend: which count, how they are kept, for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.app.task import Context

from celeriac import celery_settings
from celeriac.store import keys
from tests.support.fixtures import on_database

MakeApp = Callable[..., Celery]


@pytest.fixture
def make_app(broker_url: str) -> Iterator[MakeApp]:
    made: list[Celery] = []

    def make(**settings: Any) -> Celery:
        app = Celery("plain", set_as_current=False, config_source={**celery_settings(broker_url), **settings})
        made.append(app)
        return app

    yield make
    for app in made:
        app.backend.close()
        app.close()


def request(receipt: str = "w/1", *, redelivered: bool = False) -> Context:
    return Context(id="t", properties={"delivery_tag": receipt}, delivery_info={"redelivered": redelivered})


def stored(app: Celery) -> tuple[str, Any]:
    meta = app.backend.get_task_meta("t", cache=False)
    return meta["status"], meta["result"]


def test_the_last_report_counts_until_one_says_success(make_app: MakeApp) -> None:
    app = make_app()
    app.backend.store_result("t", {"pid": 7}, "STARTED", request=request())
    app.backend.mark_as_failure("t", ValueError("first"), request=request())
    assert stored(app)[0] == "FAILURE"
    app.backend.mark_as_done("t", 1, request=request("w/2", redelivered=True))
    app.backend.mark_as_failure("t", ValueError("late"), request=request())
    app.backend.mark_as_done("t", 2, request=request("w/3", redelivered=True))
    assert stored(app) == ("SUCCESS", 1)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_reported_under_a_void_receipt_is_refused(
    make_app: MakeApp, broker: redis.Redis, broker_url: str, elsewhere: bool
) -> None:
    results = on_database(broker_url, 9)
    app = make_app(**(celery_settings(broker_url, results) if elsewhere else {}))
    broker.zadd(keys.VOID, {"w/1": time.time() * 1000})
    late, current = request("w/1"), request("w/2")
    app.backend.mark_as_done("t", "late", request=late)
    assert stored(app) == ("PENDING", None)
    app.backend.mark_as_done("t", "current", request=current)
    assert stored(app) == ("SUCCESS", "current")
    assert (late.celeriac_refused, current.celeriac_refused) == (True, False)
    app.backend.forget("t")


def test_without_a_receipt_nothing_is_refused(make_app: MakeApp) -> None:
    app = make_app()
    app.backend.store_result("t", 1, "PROGRESS")  # `Task.update_state`, and whoever else has no request
    assert stored(app) == ("PROGRESS", 1)


def test_those_who_wait_are_told(make_app: MakeApp, broker: redis.Redis) -> None:
    app = make_app()
    with broker.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(keys.result("t"))
        listener.get_message(timeout=5)
        app.backend.mark_as_done("t", 1, request=request())
        heard = listener.get_message(timeout=5)
    assert heard is not None
    assert heard["data"] == broker.get(keys.result("t"))


@pytest.mark.parametrize(
    ("settings", "life"),
    [
        ({"result_expires": 100}, (100, 100)),
        ({"result_expires": 100, "result_failure_expires": 50}, (100, 50)),
        ({"result_expires": None}, (-1, -1)),
    ],
)
def test_results_are_kept_as_long_as_celery_would(
    make_app: MakeApp, broker: redis.Redis, settings: dict[str, Any], life: tuple[int, int]
) -> None:
    app = make_app(**settings)
    app.backend.mark_as_failure("t", ValueError(), request=request())
    failed = broker.ttl(keys.result("t"))
    app.backend.mark_as_done("t", 1, request=request())
    assert (broker.ttl(keys.result("t")), failed) == pytest.approx(life, abs=2)


@pytest.mark.parametrize(
    "settings",
    [
        {"result_serializer": "pickle", "accept_content": ["json", "pickle"]},
        {"result_compression": "gzip"},
        {"result_backend_transport_options": {"global_keyprefix": "shop"}},
        {"result_extended": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_applications_own_way_to_keep_results_is_kept(make_app: MakeApp, settings: dict[str, Any]) -> None:
    app = make_app(**settings)
    app.backend.mark_as_done("t", {"price": 10}, request=request())
    assert stored(app) == ("SUCCESS", {"price": 10})
