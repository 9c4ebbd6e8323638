"""dlt's own state is kept from one run to the next, in the transactions of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.extract import DltResource

from celeriac.families.sync.dlt_source import dlt_source
from celeriac.families.sync.python_source import SourceContext, named_source
from tests.support.sync_jobs import SyncJobs, definition


class Api:
    """What a resource of dlt reads: rows of 100 to a page, two of each moment. `asked` is what it was asked from."""

    def __init__(self, order: str | None) -> None:
        self.order = order
        self.count = 1_200
        self.breaks_at = -1
        self.asked: list[Any] = []
        self.runs: list[int] = []

    def source(self, source: SourceContext) -> DltResource:
        @dlt.resource(name="events", primary_key="id")
        def events(
            at: dlt.sources.incremental[int] = dlt.sources.incremental("at", initial_value=0, row_order=self.order),  # type: ignore # noqa: B008
        ) -> Iterator[list[dict[str, Any]]]:
            state = dlt.current.resource_state()
            state["runs"] = state.get("runs", 0) + 1
            self.runs.append(state["runs"])
            self.asked.append(at.last_value)
            for start in range(at.last_value * 2, self.count, 100):
                if start >= self.breaks_at >= 0:
                    raise RuntimeError("oops")
                yield [{"id": number, "at": number // 2} for number in range(start, min(start + 100, self.count))]

        return events


def define(syncs: SyncJobs, api: Api) -> None:
    stream = {"name": "events", "primary_key": "id"}
    source = named_source(dlt_source(api.source))
    syncs.family.add(definition(stream), source=lambda _: source.open({}))


@pytest.fixture
def syncs(tmp_path: Path) -> SyncJobs:
    return SyncJobs(tmp_path / "own", {"main": f"sqlite:///{tmp_path}/shop.db"})


@pytest.mark.parametrize("order", ["asc", None])
async def test_a_run_begins_with_the_state_of_the_last_complete_one(syncs: SyncJobs, order: str | None) -> None:
    api = Api(order)
    define(syncs, api)
    assert (await syncs.outcome())["streams"]["events"]["in"] == 1_200
    api.count = 1_500
    outcome = await syncs.outcome()
    assert api.asked == [0, 599] and api.runs == [1, 2]
    assert outcome["streams"]["events"]["in"] == 300  # the rows at the last moment are known to dlt
    assert (await syncs.outcome())["streams"]["events"]["in"] == 0
    await syncs.outcome(full=True)
    assert (api.asked[-1], api.runs[-1]) == (0, 1)
    assert await syncs.rows("SELECT count(*) FROM events") == [(1_500,)]


@pytest.mark.parametrize("order", ["asc", None])
async def test_a_run_that_fails_keeps_the_state_of_the_one_before(syncs: SyncJobs, order: str | None) -> None:
    api = Api(order)
    define(syncs, api)
    await syncs.outcome()
    api.count, api.breaks_at = 4_000, 3_500
    assert (await syncs.run()).error is not None
    api.breaks_at = -1
    outcome = await syncs.outcome()
    assert api.asked[:2] == [0, 599] and api.asked[2] >= 599
    assert outcome["streams"]["events"]["in"] == 2_800  # of the whole pass
    assert await syncs.rows("SELECT count(*), count(DISTINCT id) FROM events") == [(4_000, 4_000)]
