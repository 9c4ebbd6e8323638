"""What an application does with its policies: it lists, tries, runs, pauses and resumes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.client.options import EnqueueOptions
from celeriac.core.errors import JobFailed, WrongState
from celeriac.core.states import JobState
from celeriac.engine.in_process import InProcessJobs
from celeriac.families.cleanup import CleanupFamily, CleanupSettings, locks, records
from celeriac.families.cleanup.errors import PolicyInvalid, UnknownPolicy
from tests.support.cleanup_shop import ITEMS, Shop, policy
from tests.support.waiting import eventually

POLICY = """
connection: shop
table: orders
where:
  age: {column: created_at, older_than: 90d}
action: archive
schedule: {cron: "15 3 * * *", timezone: Europe/Berlin}
window: {hours: "00:00-24:00"}
chunk: {rows: 10}
"""


class App:
    """An application with one policy from a file, whose jobs run in this process."""

    def __init__(self, shop: Shop, folder: Path, **own: Any) -> None:
        self.shop = shop
        settings = Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=folder)
        policies = folder / "policies"
        policies.mkdir(exist_ok=True)
        (policies / "old-orders.yaml").write_text(POLICY)
        given: dict[str, Any] = {
            "cleanup_connections": {"shop": SecretStr(shop.url)},
            "cleanup_tables": "shop.orders shop.order_items",
            "cleanup_folder": policies,
            "cleanup_archives": shop.archives,
        }
        self.app = Celeriac("shop", settings=settings)
        self.family = self.app.include_family(CleanupFamily, CleanupSettings(**{**given, **own}))
        self.app.stand_in = self.jobs = InProcessJobs(self.app.specs, default_queue=lambda: "celery")
        self.actions = self.family.actions

    async def run(self, name: str) -> str:
        """Run a policy, and return its job, which has ended."""
        return (await self.family.run.enqueue(policy=name, who="ada")).id


@pytest.fixture
async def app(shop: Shop, tmp_path: Path) -> AsyncGenerator[App]:
    app = App(shop, tmp_path)
    yield app
    await app.family.places.databases.dispose()


async def test_a_policy_of_a_file_runs_as_a_job_and_is_scheduled(app: App) -> None:
    await app.shop.add_orders(60)
    job = await app.run("old-orders")
    result = (await app.app.client.get(job), app.jobs.all[0])
    assert result[0].state is JobState.SUCCEEDED
    assert await app.shop.ids() == list(range(6, 61, 6))

    [run], _ = await app.family.history.runs("old-orders")
    assert (run.id, run.who, run.state, run.rows) == (job, "ada", "done", {"orders": 50})
    entries, _ = await app.family.history.audit("old-orders", job)
    assert sum(entry.rows for entry in entries) == 50
    assert sorted(entry.number for entry in entries) == list(range(1, len(entries) + 1))
    assert all(entry.file and entry.file_sha256 and len(entry.sql_sha256) == 64 for entry in entries)
    scheduled = app.app.conf.beat_schedule["celeriac.cleanup.old-orders"]
    assert (scheduled["task"], scheduled["kwargs"]["policy"]) == ("celeriac.cleanup.run", "old-orders")
    assert repr(scheduled["schedule"]) == "<cron: 15 3 * * * Europe/Berlin>"


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(app: App) -> None:
    await app.shop.add_orders(60)
    await app.shop.create(ITEMS.format(rule=""))
    await app.shop.insert("order_items", [{"id": n, "order_id": n, "what": "x"} for n in range(1, 61)])
    app.family.add(policy(name="with-items", children="auto"))
    before = await app.shop.query(_tables(app.shop))

    seen = await app.actions.dry_run("with-items")
    assert (seen.rows, [(step.path, step.rows) for step in seen.steps]) == (
        50,
        [("orders.order_items", 50), ("orders", 50)],
    )
    assert seen.sample[0][0] == 1
    assert len(seen.sample) == 5
    assert seen.columns == ["id", "created_at", "status", "note"]
    assert "WHERE created_at < :celeriac_cutoff AND id > :celeriac_after_0 ORDER BY" in seen.steps[1].sql[0]
    assert seen.steps[1].sql[1].startswith("DELETE FROM orders WHERE id ")
    assert seen.estimated_seconds is not None
    assert "guess" in seen.estimated_from
    assert len(await app.shop.ids()) == 60
    assert await app.shop.query(_tables(app.shop)) == before

    await app.run("with-items")
    assert (await app.actions.dry_run("with-items")).estimated_from == "the rate of the last run"


def _tables(shop: Shop) -> str:
    if shop.database.dialect == "sqlite":
        return "SELECT name FROM sqlite_master WHERE name NOT LIKE 'celeriac%' ORDER BY name"
    return "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'celeriac_cleanup%' ORDER BY 1"


async def test_a_policy_is_paused_shown_so_and_resumed(app: App) -> None:
    await app.shop.add_orders(60)
    state = await app.actions.show("old-orders")
    assert (state.paused, state.holder, state.last_run) == (False, None, None)
    assert (await app.actions.pause("old-orders")).paused
    job = await app.run("old-orders")
    assert (await app.family.run.handle(job).result()).state == "paused"
    assert len(await app.shop.ids()) == 60
    await app.actions.resume("old-orders")
    job = await app.run("old-orders")
    [listed] = await app.actions.list()
    assert not listed.paused
    assert listed.last_run is not None
    assert (listed.last_run.id, listed.last_run.rows) == (job, {"orders": 50})


async def test_a_forced_pause_takes_the_lock_of_a_worker_that_hangs(app: App) -> None:
    await app.shop.add_orders(60)
    held = await app.shop.database.write(lambda c: locks.acquire(c, "old-orders", "job-that-hangs", ""))
    assert isinstance(held, locks.Lease)
    state = await app.actions.pause("old-orders", force=True)
    assert (state.paused, state.holder) == (True, None)
    await app.actions.resume("old-orders")
    await app.run("old-orders")
    assert await app.shop.ids() == list(range(6, 61, 6))


async def test_one_policy_that_fails_leaves_the_others_alone(app: App) -> None:
    await app.shop.add_orders(60)
    app.family.add(policy(name="broken", where={"sql": "no_such_column = 1"}))
    job = await app.run("broken")
    assert (await app.app.client.get(job)).state is JobState.FAILED
    with pytest.raises(JobFailed, match="where: the database refuses it"):
        await app.app.client.result(job)
    job = await app.run("old-orders")
    assert (await app.app.client.get(job)).state is JobState.SUCCEEDED


async def test_a_run_that_failed_says_why(app: App, tmp_path: Path) -> None:
    await app.shop.add_orders(60)
    await app.shop.create(ITEMS.format(rule=""))
    await app.shop.insert("order_items", [{"id": 1, "order_id": 1, "what": "x"}])
    await app.run("old-orders")
    [run], _ = await app.family.history.runs("old-orders")
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.startswith("RowsReferred: rows of orders cannot be deleted")
    assert (await app.actions.show("old-orders")).holder is None


async def test_names_of_policies_connections_and_tables_are_checked_at_the_start(app: App) -> None:
    with pytest.raises(UnknownPolicy, match="old-orders"):
        app.actions.policy("x; DROP TABLE orders")
    with pytest.raises(PolicyInvalid, match="CELERIAC_CLEANUP_CONNECTIONS names them: shop"):
        app.family.add(policy(name="other", connection="nowhere"))
    with pytest.raises(PolicyInvalid, match=r"add shop\.people to CELERIAC_CLEANUP_TABLES"):
        app.family.add(policy(name="other", table="people"))
    app.app.cleanup(policy(name="other"))
    assert app.actions.policy("other").table == "orders"


async def test_a_run_does_what_its_asker_has_seen_or_nothing(app: App, tmp_path: Path) -> None:
    await app.shop.add_orders(60)
    file = tmp_path / "policies" / "old-orders.yaml"
    seen = (await app.actions.fresh("old-orders")).digest()
    file.write_text(POLICY.replace("action: archive", "action: delete"))  # that is what the worker finds
    await app.shop.database.write(lambda c: locks.acquire(c, "old-orders", "job-1", ""))  # it had waited before
    job = await app.app.client.submit(
        app.family.run.call(policy="old-orders", seen=seen), EnqueueOptions(job_id="job-1")
    )
    with pytest.raises(JobFailed, match=r"another definition of it than whoever asked .* give the same file"):
        await app.app.client.result(job.id)
    assert len(await app.shop.ids()) == 60
    assert (await app.actions.show("old-orders")).holder is None
    await app.run("old-orders")  # a schedule, which has seen nothing
    assert await app.shop.ids() == list(range(6, 61, 6))
    [run], _ = await app.family.history.runs("old-orders")
    assert run.state == "done" and await app.shop.archived() == []


async def test_the_file_of_a_policy_counts_as_it_is_when_a_run_begins(app: App, tmp_path: Path) -> None:
    await app.shop.add_orders(60)
    file = tmp_path / "policies" / "old-orders.yaml"
    file.write_text(POLICY.replace("  age:", "  sql: id <= 7\n  age:"))
    assert (await app.actions.dry_run("old-orders")).rows == 6
    await app.run("old-orders")
    assert len(await app.shop.ids()) == 54
    file.write_text("connection: shop")
    with pytest.raises(WrongState, match=r"old-orders\.yaml: .*table"):
        await app.actions.dry_run("old-orders")
    job = await app.run("old-orders")
    with pytest.raises(JobFailed, match=r"PolicyInvalid: .*old-orders\.yaml: .*table"):
        await app.app.client.result(job)


async def test_the_audit_begins_with_the_newest_chunk(app: App) -> None:
    await app.shop.add_orders(60)
    job = await app.run("old-orders")
    first, cursor = await app.family.history.audit("old-orders", limit=2)
    rest, _ = await app.family.history.audit("old-orders", cursor=cursor)
    numbers = [entry.number for entry in (*first, *rest)]
    assert numbers == list(range(len(numbers), 0, -1)) and len(numbers) >= 5
    assert (await app.family.run.handle(job).result()).chunks == len(numbers)


async def test_the_time_of_a_run_that_was_forced_to_end_counts(app: App) -> None:
    await app.shop.add_orders(60)
    held = await app.shop.database.write(lambda c: locks.acquire(c, "old-orders", "job-that-hangs", ""))
    assert isinstance(held, locks.Lease)
    begun = await app.shop.database.write(
        lambda c: records.open_run(c, "job-that-hangs", "old-orders", "ada", "", "{}")
    )
    await eventually(lambda: app.shop.database.read(lambda c: records.milliseconds(c, begun.id) > 0), "time goes by")
    await app.actions.pause("old-orders", force=True)
    [run], _ = await app.family.history.runs("old-orders")
    assert run.ended_at is not None
    assert run.milliseconds == run.ended_at - run.started_at > 0
