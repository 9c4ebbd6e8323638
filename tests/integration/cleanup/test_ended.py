"""Runs that waited, and what becomes of them when their job does not go on."""

from __future__ import annotations

import pytest

from celeriac.core.context import JobContext
from celeriac.core.errors import RunLater
from celeriac.core.states import JobState
from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.runs import Runner
from tests.support.cleanup_shop import Shop, policy


async def _wait_as(shop: Shop, job: str) -> None:
    """Have a job begin a run that waits, and keeps the lock meanwhile."""

    async def hold() -> Hold | None:
        return Hold("the window", 100)

    shop.gates = [hold]
    with pytest.raises(RunLater):
        await shop.run(policy(), job)
    shop.gates = ()


async def test_a_run_that_waited_and_is_refused_then_has_ended(shop: Shop) -> None:
    await shop.add_orders(6)
    await _wait_as(shop, "job-1")
    with pytest.raises(PolicyInvalid):
        await shop.run(policy(where={"sql": "nonsense = 1"}), "job-1")
    [(state, error)] = await shop.query("SELECT state, error FROM celeriac_cleanup_run")
    assert state == "failed" and error.startswith("PolicyInvalid: where: the database refuses it")
    assert await shop.query("SELECT holder FROM celeriac_cleanup_lock") == [(None,)]


@pytest.mark.parametrize(("end", "state"), [(JobState.FAILED, "failed"), (JobState.CANCELLED, "cancelled")])
async def test_a_run_ends_as_its_job_has_ended_while_it_waited(shop: Shop, end: JobState, state: str) -> None:
    await shop.add_orders(6)
    await _wait_as(shop, "job-1")

    async def end_of(job: str) -> JobState | None:
        return end if job == "job-1" else None

    result = await Runner(policy(), shop.place, JobContext(id="job-2"), (), end_of).run("test")
    assert result.state == "done"
    assert await shop.query("SELECT id, state FROM celeriac_cleanup_run ORDER BY id") == [
        ("job-1", state),
        ("job-2", "done"),
    ]
