"""Runs that waited, and what becomes of them when their job does not go on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac.client.options import EnqueueOptions
from celeriac.core.context import JobContext
from celeriac.core.errors import JobFailed, RunLater
from celeriac.core.states import JobState
from celeriac.families.cleanup import locks, records
from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.runs import Runner
from tests.integration.cleanup.test_actions import App, app
from tests.support.cleanup_shop import Shop, policy

__all__ = ["app"]


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


async def _begin(app: App, policy: str) -> None:
    """Have job-1 begin a run, and keep the lock as if it waited."""
    held = await app.shop.database.write(lambda c: locks.acquire(c, policy, "job-1", ""))
    assert isinstance(held, locks.Lease)
    begun = await app.shop.database.write(lambda c: records.open_run(c, "job-1", policy, "test", "", "{}"))
    await app.shop.database.write(lambda c: records.note_waiting(c, begun, "the window", 0))


async def _end(app: App, policy: str) -> str:
    """Have job-1 go on, which fails. Return why, as its run has it, whose lock is free."""
    await app.app.client.submit(app.family.run.call(policy=policy), EnqueueOptions(job_id="job-1"))
    with pytest.raises(JobFailed):
        await app.app.client.result("job-1")
    assert await app.shop.query("SELECT holder FROM celeriac_cleanup_lock") == [(None,)]
    [(state, error)] = await app.shop.query("SELECT state, error FROM celeriac_cleanup_run")
    assert state == "failed"
    return str(error)


async def test_a_policy_whose_file_is_gone_keeps_no_lock(app: App, tmp_path: Path) -> None:
    await _begin(app, "old-orders")
    file = tmp_path / "policies" / "old-orders.yaml"
    file.unlink()
    assert re.match(rf"PolicyInvalid: {file}: .*", await _end(app, "old-orders"))


async def test_a_policy_that_a_new_worker_does_not_know_keeps_no_lock(shop: Shop, tmp_path: Path) -> None:
    """Whose connection it had, nobody knows: one that is away keeps nobody from looking in the others."""
    urls = {"away": SecretStr("postgresql://127.0.0.1:1/away"), "shop": SecretStr(shop.url)}
    app = App(shop, tmp_path, cleanup_connections=urls)
    await _begin(app, "gone")
    assert (await _end(app, "gone")).startswith("UnknownPolicy: no policy of cleanup is named 'gone'")
    await _begin(app, "gone")
    on_cancelled = app.app.specs["celeriac.cleanup.run"].options.on_cancelled
    assert on_cancelled is not None
    await on_cancelled("job-1")
    assert await shop.query("SELECT holder FROM celeriac_cleanup_lock") == [(None,)]
    assert await shop.query("SELECT state FROM celeriac_cleanup_run") == [("cancelled",)]
    await app.family.places.databases.dispose()
