"""Result backends that are not ours, in the asyncio worker: of a plain application, and beside our records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from celery import Celery, chord
from celery.app.task import Context

from celeriac import Celeriac, Settings, celery_settings
from celeriac.core.clock import now_ms
from celeriac.engine.elsewhere import awaited
from celeriac.store import keys
from tests.support.fixtures import StartWorker, on_database
from tests.support.slow import quick_first
from tests.support.waiting import wait_until
from tests.support.workers import POOLS, Worker

APPLICATION = "tests.support.elsewhere_app"
#: Only the asyncio pool awaits coroutines.
ASYNC_TOO = ("add", "add_async")
POOL = pytest.mark.parametrize("pool", quick_first(POOLS))
KINDS = pytest.mark.parametrize("kind", quick_first(["plain", "class"]))


@pytest.fixture(params=quick_first(["redis", "file", "db", "another redis"], quick=2))
def backend(request: pytest.FixtureRequest, tmp_path: Path, broker_url: str) -> str:
    (tmp_path / "results").mkdir()
    return {
        "file": f"file://{tmp_path}/results",
        "db": f"db+sqlite:///{tmp_path}/results.db",
        "redis": broker_url,
        "another redis": on_database(broker_url, 13),
    }[request.param]


@pytest.fixture
def producer(broker_url: str, backend: str) -> Iterator[Celery]:
    with closing(Celery("producer", broker=broker_url, backend=backend, set_as_current=False)) as made:
        yield made


@KINDS
def test_tasks_succeed_and_fail_with_any_result_backend_of_celerys(
    producer: Celery, start: StartWorker, broker_url: str, backend: str, kind: str
) -> None:
    environment = {"ELSEWHERE_URL": broker_url, "ELSEWHERE_BACKEND": backend, "ELSEWHERE_CLASS": kind}
    worker = start("unused", pool="asyncio", application=APPLICATION, environment=environment)
    for name in ("elsewhere.add", "elsewhere.add_async"):
        assert producer.send_task(name, (1, 2)).get(timeout=60) == 3
    with pytest.raises(ValueError, match="no stock"):
        producer.send_task("elsewhere.fail").get(timeout=60)
    header = [producer.signature("elsewhere.add", (number, 1)) for number in range(3)]
    if kind == "plain" and "redis" in backend:
        assert chord(header, producer.signature("elsewhere.total"))().get(timeout=60) == 6
    assert "AttributeError" not in worker.log


@KINDS
@POOL
@pytest.mark.parametrize("without", quick_first(["disabled://", "", "cache+memory://"]))
def test_tasks_run_once_where_no_other_process_sees_results(
    start: StartWorker, broker: redis.Redis, broker_url: str, without: str, pool: str, kind: str
) -> None:
    environment = {"ELSEWHERE_URL": broker_url, "ELSEWHERE_BACKEND": without, "ELSEWHERE_CLASS": kind}
    worker = start("unused", pool=pool, application=APPLICATION, environment=environment)
    _assert_that_tasks_end_right(worker, broker, broker_url, *(ASYNC_TOO if pool == "asyncio" else ("add",)))


async def test_typed_jobs_have_results_whatever_the_result_backend_is(
    start: StartWorker, settings: Settings, broker_url: str
) -> None:
    environment = {"ELSEWHERE_URL": broker_url, "ELSEWHERE_BACKEND": "disabled://", "ELSEWHERE_CLASS": "class"}
    start("unused", pool="asyncio", application=APPLICATION, environment=environment)
    app = Celeriac("elsewhere", settings=settings, backend="disabled://")
    with closing(app):

        @app.job(name="elsewhere.typed")
        async def typed(a: int, b: int) -> int:
            raise NotImplementedError

        assert await (await typed.enqueue(a=1, b=2)).result(timeout=60) == 3
        await app.client.aclose()


@KINDS
def test_tasks_reply_through_the_broker_with_rpc(
    start: StartWorker, broker: redis.Redis, broker_url: str, kind: str
) -> None:
    environment = {"ELSEWHERE_URL": broker_url, "ELSEWHERE_BACKEND": "rpc://", "ELSEWHERE_CLASS": kind}
    worker = start("unused", pool="asyncio", application=APPLICATION, environment=environment)
    with closing(Celery("producer", broker=broker_url, backend="rpc://", set_as_current=False)) as producer:
        for name in ("elsewhere.add", "elsewhere.add_async"):
            assert producer.send_task(name, (1, 2)).get(timeout=60) == 3
        with pytest.raises(ValueError, match="no stock"):
            producer.send_task("elsewhere.fail").get(timeout=60)
    _assert_that_tasks_end_right(worker, broker, broker_url)


@KINDS
@pytest.mark.parametrize("backend", quick_first(["redis", "disabled://", "cache+memory://"]))
def test_the_environments_result_backend_is_used_whatever_the_settings_say(
    start: StartWorker, broker: redis.Redis, broker_url: str, backend: str, kind: str
) -> None:
    url = on_database(broker_url, 13) if backend == "redis" else backend
    environment = {
        "ELSEWHERE_URL": broker_url,
        "ELSEWHERE_BACKEND": "ours",
        "ELSEWHERE_CLASS": kind,
        "CELERY_RESULT_BACKEND": url,
    }
    worker = start("unused", pool="asyncio", application=APPLICATION, environment=environment)
    if backend == "redis":
        with closing(Celery("producer", broker=broker_url, backend=url, set_as_current=False)) as producer:
            assert producer.send_task("elsewhere.add", (1, 2)).get(timeout=60) == 3
    _assert_that_tasks_end_right(worker, broker, broker_url)


def _assert_that_tasks_end_right(worker: Worker, broker: redis.Redis, broker_url: str, *names: str) -> None:
    """Each runs once, with its outcome in the log, and its message is acknowledged."""
    with closing(Celery("producer", broker=broker_url, set_as_current=False)) as producer:
        ids = [producer.send_task(f"elsewhere.{name}", (1, 2)).id for name in names or ASYNC_TOO]
        failed = producer.send_task("elsewhere.fail").id
    for task_id in ids:
        wait_until(lambda task_id=task_id: f"[{task_id}] succeeded" in worker.log, "it succeeds")
        assert worker.log.count(f"[{task_id}] received") == 1
    wait_until(lambda: f"[{failed}] raised unexpected: ValueError('no stock')" in worker.log, "it fails")
    wait_until(lambda: not broker.keys("celeriac:held:*") and not broker.llen("celery"), "all are acknowledged")
    assert "AttributeError" not in worker.log


@pytest.mark.parametrize("made_of", [Celery, Celeriac])
def test_a_worker_whose_message_another_one_has_got_stores_nothing_there(
    made_of: type[Celery], broker: redis.Redis, broker_url: str, tmp_path: Path
) -> None:
    settings = {**celery_settings(broker_url), "result_backend": f"file://{tmp_path}"}
    with closing(made_of("late", config_source=settings, set_as_current=False)) as app:
        backend = awaited(app.backend)
        broker.zadd(keys.VOID, {"w/1": now_ms()})
        for receipt in ("w/1", "w/2"):
            request = Context(id=receipt[2:], properties={"delivery_tag": receipt}, delivery_info={}, task="late")
            backend.store_result(receipt[2:], "mine", "SUCCESS", request=request)
            assert getattr(request, "celeriac_refused", False) is (receipt == "w/1")
        assert [each.name for each in tmp_path.iterdir()] == ["celery-task-meta-2"]
