"""Result backends that are not ours, in the asyncio worker: of a plain application, and beside our records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import Celery, chord

from tests.conftest import StartWorker, on_database

APPLICATION = "tests.support.elsewhere_app"
KINDS = pytest.mark.parametrize("kind", ["plain", "class"])


@pytest.fixture(params=["file", "db", "redis", "another redis"])
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
        assert producer.send_task(name, (1, 2)).get(timeout=20) == 3
    with pytest.raises(ValueError, match="no stock"):
        producer.send_task("elsewhere.fail").get(timeout=20)
    header = [producer.signature("elsewhere.add", (number, 1)) for number in range(3)]
    if kind == "plain" and "redis" in backend:
        assert chord(header, producer.signature("elsewhere.total"))().get(timeout=20) == 6
    assert "AttributeError" not in worker.log
