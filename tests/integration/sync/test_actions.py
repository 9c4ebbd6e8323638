"""What the API and the commands do with syncs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from celeriac.core.errors import JobFailed, LeaseLost, WrongState
from celeriac.database.leases import Lease
from celeriac.families.sync.dry_run import StreamPreview, dry_run
from celeriac.families.sync.errors import SourceFailed, UnknownSync
from celeriac.families.sync.forms import RunForm, StreamsForm
from celeriac.families.sync.python_source import SourceContext
from celeriac.families.sync.tables import LEASES
from tests.support.sync_jobs import ListedSource, SyncJobs

ORDERS = {"name": "orders", "primary_key": "id", "cursor": "id"}
PAGES: dict[str, Any] = {"orders": [[{"id": 1, "v": "a"}, {"v": "b"}], [{"id": 2, "v": "c"}]]}


async def tried(syncs: SyncJobs, *streams: str) -> dict[str, StreamPreview]:
    family = syncs.family
    source = family.runner.source(family.definitions.get("shop"))
    return (await dry_run(family.definitions.get("shop"), family.destinations, source, streams or None)).streams


async def test_a_dry_run_shows_the_first_page_and_writes_nothing(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = ListedSource(PAGES)
    orders = (await tried(syncs))["orders"]
    assert (orders.received, orders.more) == (2, True)
    assert [(one.name, one.kind, one.change) for one in orders.columns] == [
        ("id", "integer", "added"),
        ("v", "text", "added"),
    ]
    assert [refusal.reason for refusal in orders.rejected] == ["it has no id, which is its key"]
    assert orders.records == PAGES["orders"][0]
    assert syncs.source.is_closed
    assert await syncs.database.look(lambda connection: inspect(connection).get_table_names()) == []


async def test_a_dry_run_shows_what_an_existing_table_would_get(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    syncs.source = ListedSource({"orders": [[{"id": 9, "v": 1, "more": True}]]})
    orders = (await tried(syncs, "orders"))["orders"]
    assert {one.name: one.change for one in orders.columns} == {"id": "", "v": "", "more": "added"}
    assert syncs.source.asked[0].cursor == 2
    assert await syncs.rows("SELECT count(*) FROM orders") == [(2,)]


async def test_how_a_sync_stands_its_runs_and_rejected_records(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    await syncs.run({"orders": [[{"id": 3}], SourceFailed("gone"), []]})
    state = (await syncs.family.looks.state("shop"))["orders"]
    assert (state.phase, state.cursor, state.pending, state.place.page) == ("reading", 2, 3, 1)
    (failed, succeeded), following = await syncs.family.looks.runs("shop", limit=2)
    assert following is None
    assert (failed.state, failed.error, failed.counts["orders"].received) == ("failed", "gone", 1)
    assert (succeeded.state, succeeded.counts["orders"].written) == ("done", 2)
    assert succeeded.ended_at is not None
    (reject,), _ = await syncs.family.looks.rejects("shop", stream="orders", limit=9)
    assert (reject.page, reject.position, reject.record) == (0, 1, '{"v":"b"}')
    assert (await syncs.family.looks.rejects("shop", after=reject.number, limit=9))[0] == []


async def test_a_reset_has_the_next_run_read_everything(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    assert await syncs.family.actions.reset("shop", StreamsForm()) == ["orders"]
    await syncs.outcome(PAGES)
    assert syncs.source.asked[0].cursor is None
    assert len((await syncs.family.looks.rejects("shop", limit=9))[0]) == 1


async def test_unknown_names_say_which_there_are(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    with pytest.raises(UnknownSync, match="no sync is named 'x'; those of this application: shop"):
        await syncs.family.actions.run("x", RunForm())
    with pytest.raises(UnknownSync, match="the sync 'shop' has no stream 'x'; it has: orders"):
        await syncs.family.actions.run("shop", RunForm(streams=["x"]))


async def test_a_run_is_of_the_definition_that_its_asker_has_seen(tmp_path: Path) -> None:
    folder = tmp_path / "syncs"
    folder.mkdir()
    file = folder / "shop.yaml"
    written = "source: {python: given}\nstreams: [{name: orders, primary_key: id}]\ndestination: {connection: main}\n"
    file.write_text(written)
    syncs = SyncJobs(tmp_path / "own", {"main": f"sqlite:///{tmp_path / 'main.db'}"}, sync_folder=folder)
    family = syncs.family

    @family.source
    async def given(context: SourceContext) -> AsyncIterator[dict[str, Any]]:
        yield {"id": 1, "stream": context.stream}

    seen = (await family.definitions.fresh("shop")).sync.digest()
    file.write_text(written.replace("orders", "customers"))
    job = await syncs.app.client.submit(family.job.call(sync="shop", seen=seen))
    with pytest.raises(JobFailed, match=r"another definition of it than whoever asked .* give the same file"):
        await syncs.app.client.result(job.id)
    assert set(await syncs.database.look(lambda c: inspect(c).get_table_names())) & {"orders", "customers"} == set()

    job = await family.actions.run("shop", RunForm())  # it asks anew
    assert (await syncs.app.client.get(job.id)).state == "succeeded"
    assert await syncs.rows("SELECT stream FROM customers") == [("customers",)]
    file.write_text("source: {python: given}")
    with pytest.raises(WrongState, match=r"shop\.yaml: .*streams"):
        await family.actions.run("shop", RunForm())
    await syncs.close()


@pytest.mark.parametrize("asked", ["run", "reset"])
async def test_who_asks_takes_the_lock_of_a_job_that_the_broker_has_lost_and_its_worker_commits_nothing(
    syncs: SyncJobs, asked: str
) -> None:
    """The job will not go on after its worker. The worker may be at it still, which the fence sees to."""
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    lost = await syncs.database.write(lambda c: LEASES.take(c, "shop", "job-forgotten"))
    assert isinstance(lost, Lease)
    if asked == "run":
        await syncs.family.actions.run("shop", RunForm())
    else:
        assert await syncs.family.actions.reset("shop", StreamsForm()) == ["orders"]
    with pytest.raises(LeaseLost):
        await syncs.database.write(lost.fence)


async def test_a_run_that_nobody_has_asked_for_leaves_the_lock_to_a_job_that_the_broker_does_not_know(
    syncs: SyncJobs,
) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    await syncs.database.write(lambda c: LEASES.take(c, "shop", "job-forgotten"))
    skipped = await syncs.outcome(PAGES)  # as a schedule enqueues it
    assert skipped["state"] == "skipped"
    holder = await syncs.database.read(lambda c: LEASES.holder(c, "shop"))
    assert holder is not None and holder.holder == "job-forgotten"


async def test_a_run_is_found_although_its_sync_has_another_name_by_now(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    ran = await syncs.run(PAGES)
    syncs.redefine(ORDERS, name="store")
    assert (await syncs.family.looks.run_of(ran.record.id)).sync == "shop"
