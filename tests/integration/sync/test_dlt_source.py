"""Real resources of dlt are read like any source, and an interrupted pass goes on."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dlt
import pytest
import requests
from dlt.extract import DltResource, DltSource

from celeriac.core.errors import NotInstalled
from celeriac.families.sync.dlt_source import dlt_source
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable, SyncInvalid
from celeriac.families.sync.pages import Asked, Page, Place
from celeriac.families.sync.python_source import SourceContext, named_source
from tests.support.waiting import eventually

ROWS = 3_000


def resource(context: SourceContext, asked_from: list[Any], *, order: str | None = "asc") -> DltResource:
    """Rows of 100 to a page, with two of each moment, as an API would give them."""

    @dlt.resource(name="events", primary_key="id")
    def events(
        at: dlt.sources.incremental[int] = dlt.sources.incremental("at", initial_value=context.cursor, row_order=order),  # type: ignore # noqa: B008
    ) -> Iterator[list[dict[str, Any]]]:
        asked_from.append(at.last_value)
        first = 0 if at.last_value is None else at.last_value * 2
        for start in range(first, ROWS, 100):
            yield [{"id": number, "at": number // 2} for number in range(start, min(start + 100, ROWS))]

    return events


async def pages_of(make: Callable[..., Any], asked: Asked | None = None, **arguments: Any) -> list[Page]:
    reader = named_source(dlt_source(make)).open(arguments)
    return [page async for page in reader.pages(asked or Asked(stream="events"))]


@pytest.mark.parametrize("order", ["asc", None])
async def test_an_interrupted_pass_goes_on_at_each_place_and_nothing_comes_twice(order: str | None) -> None:
    asked_from: list[Any] = []

    def events(source: SourceContext) -> DltResource:
        return resource(source, asked_from, order=order)

    pages = await pages_of(events)
    assert [record["id"] for page in pages for record in page.records] == list(range(ROWS))
    assert len(pages) > 3
    for number, page in enumerate(pages[:-1]):
        rest = await pages_of(events, Asked(stream="events", place=page.after or Place()))
        assert [one["id"] for each in rest for one in each.records] == [
            one["id"] for each in pages[number + 1 :] for one in each.records
        ]
    resumed = asked_from[1:]
    assert all(last > 0 for last in resumed) if order == "asc" else resumed == [None] * len(resumed)


async def test_the_cursor_of_the_stream_is_what_an_incremental_resource_begins_with() -> None:
    def events(source: SourceContext) -> DltResource:
        return resource(source, [])

    pages = await pages_of(events, Asked(stream="events", cursor=1_400))
    assert [record["id"] for page in pages for record in page.records] == list(range(2_800, ROWS))


async def test_a_stream_is_the_resource_of_its_name() -> None:
    @dlt.source
    def shop(region: str) -> Any:
        yield dlt.resource([{"id": 1, "region": region}], name="orders")
        yield dlt.resource([{"id": 2}], name="customers")

    def mine(source: SourceContext, region: str) -> DltSource:
        return shop(region)

    pages = await pages_of(mine, Asked(stream="orders"), region="eu")
    assert pages[0].records == [{"id": 1, "region": "eu"}]
    assert pages[-1].after is None and sum(len(page.records) for page in pages) == 1
    with pytest.raises(SourceFailed, match="has no resource 'nothing', but customers, orders"):
        await pages_of(mine, Asked(stream="nothing"), region="eu")
    with pytest.raises(SyncInvalid, match="source mine: region: is missing"):
        await pages_of(mine)


async def test_its_times_are_those_of_the_standard_library() -> None:
    def events(source: SourceContext) -> DltResource:
        from dlt.common import pendulum

        moment = pendulum.datetime(2026, 1, 2, 3)
        return dlt.resource([{"id": 1, "at": moment, "all": [moment], "day": moment.date()}], name="events")

    page = (await pages_of(events))[0]
    at = page.records[0]["at"]
    assert at == datetime(2026, 1, 2, 3, tzinfo=UTC) and type(at) is datetime
    assert type(page.records[0]["all"][0]) is datetime
    assert page.records[0]["day"].__class__.__module__ == "datetime"


@pytest.mark.parametrize(("status", "kind"), [(503, SourceUnavailable), (429, SourceUnavailable), (404, SourceFailed)])
async def test_a_request_that_fails_is_an_outage_or_not(status: int, kind: type[Exception]) -> None:
    def events(source: SourceContext) -> DltResource:
        @dlt.resource(name="events")
        def failing() -> Iterator[Any]:
            response = requests.Response()
            response.status_code = status
            raise requests.HTTPError("https://api.example/?key=hunter2", response=response)
            yield

        return failing

    with pytest.raises(kind, match=f"HTTPError, {status}") as failed:
        await pages_of(events)
    assert "hunter2" not in str(failed.value)


async def test_its_iterator_runs_and_ends_in_one_thread_beside_the_event_loop() -> None:
    threads: set[str] = set()
    ended = threading.Event()

    def events(source: SourceContext) -> DltResource:
        @dlt.resource(name="events")
        def endless() -> Iterator[Any]:
            try:
                while True:
                    threads.add(threading.current_thread().name)
                    yield [{"id": number} for number in range(1000)]
            finally:
                ended.set()

        return endless

    generator: AsyncGenerator[Page] = named_source(dlt_source(events)).open({}).pages(Asked(stream="events"))
    assert len((await anext(generator)).records) == 500
    await anext(generator)
    await generator.aclose()
    assert ended.wait(60)
    await eventually(lambda: not threads & {thread.name for thread in threading.enumerate()}, "the thread ends")
    assert len(threads) == 1 and threading.current_thread().name not in threads


def test_a_function_that_gets_no_context_cannot_be_a_source() -> None:
    def events() -> None: ...

    with pytest.raises(SyncInvalid, match="give one parameter the annotation SourceContext"):
        dlt_source(events)


async def test_without_dlt_a_source_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlt", None)

    def events(source: SourceContext) -> Any: ...

    with pytest.raises(NotInstalled, match=r"source events: it needs dlt: pip install 'dlt'"):
        await pages_of(events)
