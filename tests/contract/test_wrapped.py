"""`async def` tasks that Celery or the user has wrapped run like any other, in plain applications and in the class."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from tests.contract.conftest import ways
from tests.support.contract_jobs import ContractJobs
from tests.support.wrapped_tasks import Order

WAIT = 60
ASYNCIO = pytest.mark.parametrize("pool", ["asyncio"], indirect=True)
Get = Callable[..., Any]

CALLS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("pydantic", (Order(number=7), 2), {"total": 14, "secret": "s"}),
    ("pydantic", ({"number": "7"},), {"total": 7, "secret": "s"}),
    ("pydantic_def", (Order(number=7),), {"total": 7, "secret": "s"}),
    ("optional", (Order(number=7),), {"total": 7, "secret": "s"}),
    ("optional", (), None),
    ("everything", ({"number": 7, "currency": "USD"},), {"total": 8}),
    ("pydantic_plainly", (Order(number=7),), {"total": 7, "secret": "s"}),
    ("plainly", (1,), 2),
    ("awaited", (1,), {"awaited": 2}),
]


def check(app: Celery) -> None:
    tasks = app.tasks
    results = [tasks[f"wrapped.{name}"].delay(*args) for name, args, _ in CALLS]
    assert [result.get(timeout=WAIT) for result in results] == [expected for _, _, expected in CALLS]
    by_class, called = tasks["wrapped.run"].delay(1), tasks["wrapped.called"].delay(value=1)
    assert by_class.get(timeout=WAIT) == [1, by_class.id]
    assert called.get(timeout=WAIT) == {"called": [1, called.id]}
    for wrong in (tasks["wrapped.pydantic"].delay({"number": "x"}), tasks["wrapped.everything"].delay({"number": "7"})):
        with pytest.raises(Exception, match=r"ValidationError|validation error"):
            wrong.get(timeout=WAIT)
    with pytest.raises(SoftTimeLimitExceeded):
        tasks["wrapped.limited"].delay({"number": 1}).get(timeout=WAIT)
    with pytest.raises(TypeError, match="missing a required argument: 'order'"):
        tasks["wrapped.pydantic"].delay().get(timeout=WAIT)


@pytest.mark.parametrize("way", [ways("asyncio")[0]], indirect=True, scope="session")
def test_wrapped_tasks_of_a_plain_application_are_awaited(plain: Celery) -> None:
    check(plain)


@ASYNCIO
async def test_wrapped_tasks_of_the_class_are_awaited(jobs: ContractJobs) -> None:
    await asyncio.to_thread(check, jobs.app)
