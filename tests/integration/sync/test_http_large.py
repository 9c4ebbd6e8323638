"""A page that is too large for memory comes in pieces, and reading goes on between any two of them."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from celeriac.families.sync.errors import SourceFailed, SourceUnavailable
from celeriac.families.sync.http.model import HttpStream
from celeriac.families.sync.pages import Asked, Place
from tests.support.sync_api import SyncApi, order, sync_api
from tests.support.sync_reading import STYLES, ids, read, reader, stream_of

COUNT = 2_500
ALL = list(range(1, COUNT + 1))
#: Every page of these tests is a large one.
STREAMED = {"reading": {"whole_bytes": 1_000}}


@pytest_asyncio.fixture
async def api() -> AsyncGenerator[SyncApi]:
    async with sync_api(orders=[order(number) for number in ALL], page_size=1_500) as api:
        yield api


def style_of(style: str) -> HttpStream:
    pagination = STYLES[style][0] | ({"size": 1_500} if style == "inclusive" else {})
    return stream_of(style, pagination=pagination)


@pytest.mark.parametrize("style", STYLES)
async def test_pieces_have_the_same_records_as_whole_pages(api: SyncApi, style: str) -> None:
    whole = await read(api.url, style_of(style))
    pieces = await read(api.url, style_of(style), **STREAMED)
    assert len(pieces) > len(whole)
    assert [record for page in pieces for record in page.records] == [
        record for page in whole for record in page.records
    ]
    assert {(page.page, repr(page.after)) for page in whole} <= {(page.page, repr(page.after)) for page in pieces}


@pytest.mark.parametrize("style", ["cursor", "inclusive"])
async def test_reading_goes_on_after_each_piece(api: SyncApi, style: str) -> None:
    pieces = await read(api.url, style_of(style), **STREAMED)
    assert any(page.after and page.after.skip for page in pieces)
    for number, page in enumerate(pieces[:-1]):
        for options in (STREAMED, {}):
            rest = await read(api.url, style_of(style), {"place": page.after}, **options)
            assert ids(rest) == ids(pieces[number + 1 :])


async def test_an_answer_that_breaks_off_is_asked_for_again_and_what_came_is_not_given_twice(api: SyncApi) -> None:
    api.told["/page/orders"] = ["cut", None, "cut", "cut", None]
    pieces = await read(api.url, stream_of("page"), **STREAMED)
    assert ids(pieces) == ALL
    assert sum(page.requests for page in pieces) == len(api.requests) == 6
    api.told["/x"] = ["cut"]
    with pytest.raises(SourceUnavailable, match="the answer ended too early, after 6 tries"):
        await read(api.url, HttpStream(path="x"), **STREAMED)


async def test_only_a_part_of_a_large_page_is_in_memory(api: SyncApi) -> None:
    api.orders = [order(number) for number in range(1, 20_001)]
    api.page_size = 20_000
    async with reader(api.url, {"orders": stream_of("page")}, **STREAMED) as opened:
        pages = opened.pages(Asked(stream="orders"))
        sizes = [len((await anext(pages)).records)]
        tracemalloc.start()  # what the server has made of the page is not counted
        try:
            sizes += [len(page.records) async for page in pages]
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sum(sizes) == 20_000 and max(sizes) < 5_000
    assert most < 10_000_000  # all records at once take 20 MB


@pytest.mark.parametrize(
    ("body", "records", "kind", "fault"),
    [
        (b'{"data": [' + b'{"a": 1},' * 500 + b"}]}", "data", SourceFailed, "the answer is no JSON"),
        (b'{"data": [' + b'{"a": 1},' * 500 + b"]}", "data", SourceFailed, "the answer is no JSON"),
        (b'{"data": [' + b'{"a": 1},' * 500 + b'1], "data": []}', "data", SourceFailed, "has records: 'data' twice"),
        (b'{"data": [' + b'{"a": 1},' * 500, "data", SourceUnavailable, "ends too early"),
        (b'{"data": {"a": "' + b"x" * 5_000 + b'"}}', "data", SourceFailed, "has no list at records: 'data'"),
        (b'{"other": ["' + b"x" * 5_000 + b'"]}', "data", SourceFailed, "has nothing at records: 'data'"),
        (b'{"error": "no", "data": [' + b"1," * 500 + b"1]}", "data", SourceFailed, "with an error at 'error': 'no'"),
    ],
)
async def test_a_large_body_that_is_wrong_is_named(
    api: SyncApi, body: bytes, records: str, kind: type[Exception], fault: str
) -> None:
    api.told["/x"] = [(200, {}, body)]
    stream = HttpStream.model_validate({"path": "x", "records": records, "error": {"path": "error"}})
    with pytest.raises(kind, match=fault):
        await read(api.url, stream, attempts=1, **STREAMED)


async def test_values_are_the_same_in_pieces_and_in_whole_pages(api: SyncApi) -> None:
    record: dict[str, Any] = {
        "id": 1,
        "long": 123456789012345678901234567890,
        "float": 0.1,
        "nested": {"list": [1.5, {"x": 2.25}], "text": "ü€😀", "none": None, "true": True},
    }
    odd = [b'{"id": 3, "v": NaN}', b'{"id": 4, "v": 1e400}', b'{"id": 5, "v": "\\ud800"}', b'{"id": 6, "v": %s}']
    listed = [json.dumps(one).encode() for one in (record, 7, {"id": 2, "pad": "x" * 2_000})]
    body = b"[" + b", ".join([*listed, *odd[:3], odd[3] % (b"7" * 5_000), b'{"id": 7}']) + b"]"
    api.told["/x"] = [(200, {}, body)]
    whole = await read(api.url, HttpStream(path="x"))
    pieces = await read(api.url, HttpStream(path="x"), **STREAMED)
    assert [one for page in whole for one in page.records] == [one for page in pieces for one in page.records]
    assert whole[0].records[0] == record and ids(whole) == [1, 2, 7]
    refused = [[(one.position, one.reason) for page in pages for one in page.refused] for pages in (whole, pieces)]
    assert refused[0] == refused[1] and [position for position, _ in refused[0]] == [1, 3, 4, 5, 6]
    assert refused[0][-1][1] == "has a whole number of thousands of digits"


async def test_records_have_their_places_on_the_whole_page(api: SyncApi) -> None:
    items: list[Any] = [7 if number % 10 == 0 else {"id": number} for number in range(3_000)]
    for options in (STREAMED, {}):
        api.told["/x"] = [(200, {}, items)]
        pages = await read(api.url, HttpStream(path="x"), **options)
        assert (len(pages) > 1) is bool(options)
        for page in pages:
            assert list(page.positions) == [record["id"] for record in page.records]
        refused = [one.position for page in pages for one in page.refused]
        assert refused == list(range(0, 3_000, 10))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {"items": [{"id": 1}], "items": [{"id": 2}]}}',
        b'{"data": {"items": [{"id": 1, "n": %s}], "items": null}}' % (b"1" * 5_000),
        b'{"data": {"items": [{"id": 1}]}, "data": {"items": []}}',
        b'{"data": {"items": null, "items": [{"id": 1, "v": NaN}]}}',
    ],
)
async def test_records_that_are_there_twice_are_an_error_in_pieces_and_in_whole_pages(
    api: SyncApi, body: bytes
) -> None:
    for options in ({"reading": {"whole_bytes": 1}}, {}):
        api.told["/x"] = [(200, {}, body)]
        with pytest.raises(SourceFailed, match=r"records: 'data\.items' twice; nothing says which"):
            await read(api.url, HttpStream(path="x", records="data.items"), attempts=1, **options)


async def test_names_inside_of_records_may_be_that_of_their_list(api: SyncApi) -> None:
    body = b'{"items": [{"id": 1, "items": ["items"], "x": 1, "x": 2}, {"id": 2, "items": 1, "items": NaN}, {"id": 3}]}'
    for options in ({"reading": {"whole_bytes": 1}}, {}):
        api.told["/x"] = [(200, {}, body)]
        pages = await read(api.url, HttpStream(path="x", records="items"), attempts=1, **options)
        assert ids(pages) == [1, 3]
        assert pages[0].records[0] == {"id": 1, "items": ["items"], "x": 2}


async def test_a_large_page_that_comes_again_is_a_loop(api: SyncApi) -> None:
    api.told["/x"] = [(200, {}, [{"id": number} for number in range(1_000)])]
    stream = HttpStream.model_validate({"path": "x", "pagination": {"type": "page"}})
    with pytest.raises(SourceFailed, match="page 1 has the same records as page 0"):
        await read(api.url, stream, **STREAMED)


async def test_a_query_path_reads_a_large_page_whole(api: SyncApi) -> None:
    pages = await read(api.url, stream_of("page", records="$[*]"), **STREAMED)
    assert [len(page.records) for page in pages] == [1_500, 1_000, 0]
    assert sys.getsizeof(pages) < 10_000
    assert pages[0].after == Place(2, 0, 1)
