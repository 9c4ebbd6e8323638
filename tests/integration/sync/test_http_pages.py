"""Every page of an API comes once and in order, whatever its pagination; from any place, and though requests fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.model import HttpStream
from celeriac.families.sync.pages import Place
from tests.support.sync_api import SyncApi, order, sync_api
from tests.support.sync_reading import STYLES, ids, read, stream_of

ALL = list(range(1, 251))


@pytest_asyncio.fixture
async def api() -> AsyncGenerator[SyncApi]:
    async with sync_api() as api:
        yield api


@pytest.mark.parametrize("style", STYLES)
async def test_every_record_comes_once_and_in_order(api: SyncApi, style: str) -> None:
    pages = await read(api.url, stream_of(style))
    assert ids(pages) == ALL
    assert pages[-1].after is None
    assert [page.page for page in pages] == list(range(len(pages)))
    assert sum(page.requests for page in pages) == len(api.requests) == len(pages)


@pytest.mark.parametrize("style", STYLES)
async def test_reading_goes_on_at_every_place_that_a_page_has(api: SyncApi, style: str) -> None:
    pages = await read(api.url, stream_of(style))
    for number, page in enumerate(pages[:-1]):
        rest = await read(api.url, stream_of(style), {"place": page.after})
        assert ids(rest) == ids(pages[number + 1 :])
        assert rest[0].page == number + 1


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(3))
async def test_requests_that_fail_are_sent_again(style: str, seed: int) -> None:
    async with sync_api(faults=0.5, seed=seed, page_size=25) as api:
        options = {"size": 25} if style == "inclusive" else {}
        pages = await read(api.url, stream_of(style, pagination=STYLES[style][0] | options))
        assert ids(pages) == ALL
        assert sum(page.requests for page in pages) == len(api.requests) > len(pages)


async def test_pages_may_have_other_sizes_than_the_first(api: SyncApi) -> None:
    sizes = [7, 93, 1, 60, 89, 100]
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    orders = [order(number) for number in ALL]
    api.told["/x"] = [
        (200, {}, {"items": orders[start : start + size]}) for start, size in zip(starts, sizes, strict=True)
    ]
    api.told["/x"].append((200, {}, {"items": []}))
    stream = HttpStream.model_validate({"path": "x", "records": "items", "pagination": {"type": "offset"}})
    assert ids(await read(api.url, stream)) == ALL
    assert [request.partition("offset=")[2] for request in api.requests] == ["0", "7", "100", "101", "161", "250"]


async def test_an_empty_page_before_the_end_does_not_end_a_stream_whose_tokens_go_on(api: SyncApi) -> None:
    orders = [order(1), order(2)]
    api.told["/x"] = [
        (200, {}, {"items": [orders[0]], "next": "a"}),
        (200, {}, {"items": [], "next": "b"}),
        (200, {}, {"items": [], "next": "c"}),
        (200, {}, {"items": [orders[1]], "next": None}),
    ]
    cursor = {"type": "cursor", "from_body": "next", "to_param": "cursor"}
    stream = HttpStream.model_validate({"path": "x", "records": "items", "pagination": cursor})
    assert [len(page.records) for page in await read(api.url, stream)] == [1, 0, 0, 1]


async def test_numbered_pages_go_on_over_an_empty_one_where_the_api_says_that_more_follow(api: SyncApi) -> None:
    told = [([order(1)], True), ([], True), ([order(2)], False)]
    api.told["/x"] = [(200, {}, {"items": items, "more": more}) for items, more in told]
    stream = HttpStream.model_validate(
        {"path": "x", "records": "items", "pagination": {"type": "page", "more": "more", "first": 0}}
    )
    assert ids(await read(api.url, stream)) == [1, 2]
    assert api.requests == ["/x?page=0", "/x?page=1", "/x?page=2"]


async def test_a_short_page_ends_a_stream_only_where_that_is_declared(api: SyncApi) -> None:
    paged = {"type": "page", "size": 100, "size_param": "limit"}
    await read(api.url, stream_of("page", pagination=paged))
    assert len(api.requests) == 4
    await read(api.url, stream_of("page", pagination=paged | {"short_page_ends": True}))
    assert len(api.requests) == 7


@pytest.mark.parametrize(
    ("told", "pagination", "fault"),
    [
        (
            [{"items": [{"id": 1}], "next": "a"}, {"items": [{"id": 2}], "next": "b"}, {"items": [], "next": "a"}],
            {"type": "cursor", "from_body": "next", "to_param": "cursor"},
            "page 3 would be asked for with 'a', as page 1 was",
        ),
        (
            [{"items": [{"id": 1}], "next": "/x?from=1"}, {"items": [{"id": 2}], "next": "/x?from=1"}],
            {"type": "next_url", "path": "next"},
            "page 2 would be asked for with",
        ),
        (
            [{"items": [{"id": 1}, {"id": 2}]}],
            {"type": "page"},
            "page 1 has the same records as page 0",
        ),
        (
            [{"items": [{"id": 1}], "next": "a"}, {"items": [{"id": 1}], "next": "b"}],
            {"type": "cursor", "from_body": "next", "to_param": "cursor"},
            "page 1 has the same records as page 0",
        ),
        (
            [{"items": [], "more": True}],
            {"type": "offset", "more": "more"},
            "there is no offset to go on at",
        ),
    ],
)
async def test_an_api_that_goes_round_in_circles_ends_the_stream(
    api: SyncApi, told: list[Any], pagination: dict[str, Any], fault: str
) -> None:
    api.told["/x"] = [(200, {}, body) for body in told]
    stream = HttpStream.model_validate({"path": "x", "records": "items", "pagination": pagination})
    with pytest.raises(SourceFailed, match=fault):
        await read(api.url, stream)
    assert len(api.requests) <= 3


async def test_a_next_url_that_is_its_own_page_ends_the_stream(api: SyncApi) -> None:
    api.told["/x"] = [(200, {"Link": "</x>; rel=next"}, [{"id": 1}]), (200, {"Link": "</x>; rel=next"}, [{"id": 2}])]
    with pytest.raises(SourceFailed, match="goes round in circles"):
        await read(api.url, HttpStream(path="x"))
    assert api.requests == ["/x", "/x"]


async def test_a_tie_wider_than_a_page_is_an_error_that_says_so(api: SyncApi) -> None:
    for each in api.orders[50:220]:
        each["updated_at"] = api.orders[50]["updated_at"]
    with pytest.raises(SourceFailed, match=r"a whole page of 100 records has the same updated_at \('2026-01-01T00:51"):
        await read(api.url, stream_of("inclusive"))


async def test_a_tie_wider_than_a_page_is_read_by_offset_where_the_api_has_one(api: SyncApi) -> None:
    for each in api.orders[50:220]:
        each["updated_at"] = api.orders[50]["updated_at"]
    pagination = STYLES["inclusive"][0] | {"offset_param": "skip"}
    pages = await read(api.url, stream_of("inclusive", pagination=pagination))
    assert sorted(set(ids(pages))) == ALL
    for page in pages[:-1]:
        rest = await read(api.url, stream_of("inclusive", pagination=pagination), {"place": page.after})
        assert set(ids(pages[: page.page + 1])) | set(ids(rest)) == set(ALL)


async def test_ties_at_the_end_of_a_page_are_not_given_twice(api: SyncApi) -> None:
    for each in api.orders[95:120]:
        each["updated_at"] = api.orders[95]["updated_at"]
    assert ids(await read(api.url, stream_of("inclusive"))) == ALL


async def test_ties_where_an_api_begins_after_a_value_are_an_error_as_some_would_be_lost(api: SyncApi) -> None:
    api.orders[7]["id"] = api.orders[6]["id"]
    with pytest.raises(SourceFailed, match=r"two records have the same id \(7\)"):
        await read(api.url, stream_of("keyset"))


async def test_an_api_that_does_not_sort_cannot_be_read_by_keyset(api: SyncApi) -> None:
    api.told["/x"] = [(200, {}, [{"id": 9}, {"id": 5}]), (200, {}, [{"id": 4}, {"id": 3}])]
    stream = HttpStream.model_validate({"path": "x", "pagination": STYLES["keyset"][0]})
    with pytest.raises(SourceFailed, match=r"the page after 5 ends at 3: the API has to sort by id in ascending order"):
        await read(api.url, stream)


async def test_a_place_of_another_pagination_is_refused(api: SyncApi) -> None:
    with pytest.raises(SourceFailed, match="the definition has changed; reset the stream"):
        await read(api.url, stream_of("page"), {"place": Place("https://elsewhere.example")})
    assert api.requests == []


async def test_records_of_children_are_asked_for_by_their_parents_fields(api: SyncApi) -> None:
    stream = HttpStream.model_validate(
        {"path": "customers/{parent.id}/orders", "pagination": {"type": "page"}, "params": {"by": "{parent.name}"}}
    )
    pages = await read(api.url, stream, {"parent": {"id": 3, "name": "a&b"}})
    assert {record["customer"]["id"] for page in pages for record in page.records} == {3}
    assert api.requests[0] == "/customers/3/orders?by=a%26b&page=1"
    await read(api.url, HttpStream(path="customers/{parent.id}/orders"), {"parent": {"id": "../../token?x=1#"}})
    assert api.requests[-1] == "/customers/..%2F..%2Ftoken%3Fx%3D1%23/orders"
    with pytest.raises(SourceFailed, match="must be text or a whole number"):
        await read(api.url, stream, {"parent": {"id": ".."}})


@pytest.mark.parametrize(
    ("form", "cursor", "sent"),
    [
        ("as_is", "2026-01-01T03:00:00+00:00", "2026-01-01T03:00:00+00:00"),
        ("iso", "2026-01-01T05:00:00+02:00", "2026-01-01T03:00:00Z"),
        ("iso", 1767236400000, "2026-01-01T03:00:00Z"),
        ("epoch_seconds", "2026-01-01T03:00:00", "1767236400"),
        ("epoch_milliseconds", "2026-01-01T03:00:00Z", "1767236400000"),
    ],
)
async def test_a_run_asks_for_what_is_new_in_the_form_that_the_api_takes(
    api: SyncApi, form: str, cursor: Any, sent: str
) -> None:
    api.told["/x"] = [(200, {}, [])]
    stream = HttpStream.model_validate({"path": "x", "since": {"param": "since", "format": form, "first": "2020"}})
    await read(api.url, stream, {"cursor": cursor})
    await read(api.url, stream)
    assert [dict([request.partition("?")[2].split("=")])["since"] for request in api.requests] == [
        sent.replace("+", "%2B"),
        "2020",
    ]


async def test_a_filter_holds_on_each_page(api: SyncApi) -> None:
    since = {"since": {"param": "since"}}
    pages = await read(api.url, stream_of("page", **since), {"cursor": api.orders[120]["updated_at"]})
    assert ids(pages) == ALL[120:]
    assert all("since=" in request for request in api.requests)


@pytest.mark.parametrize("query", ["c=a%3Ab%2Fc%3D%3D&sig=x+y", "c=%7b%7D~%20", "c=a:b/c==&d=%2B"])
async def test_a_next_url_is_asked_for_as_it_was_written(api: SyncApi, query: str) -> None:
    api.told["/x"] = [(200, {"Link": f"</y?{query}>; rel=next"}, [])]
    api.told["/y"] = [(200, {}, [])]
    first = (await read(api.url, HttpStream(path="x")))[0]
    assert api.requests == ["/x", f"/y?{query}"]
    await read(api.url, HttpStream(path="x"), {"place": first.after})
    assert api.requests[2:] == [f"/y?{query}"]


async def test_a_next_url_with_letters_that_no_url_has_is_quoted(api: SyncApi) -> None:
    api.told["/x"] = [(200, {}, {"items": [], "next": "/y?name=Müller & Söhne"})]
    api.told["/y"] = [(200, {}, {"items": []})]
    await read(api.url, stream_of("next_url", path="x", pagination={"type": "next_url", "path": "next"}))
    assert api.requests[1] == "/y?name=M%C3%BCller+&+S%C3%B6hne"


async def test_parameters_of_the_source_go_with_each_stream_and_may_have_braces(api: SyncApi) -> None:
    params = {"filter": "{a}", "all": True, "ids": ["1", "2"]}
    await read(api.url, stream_of("link", params={"note": "{{}}"}), params=params)
    assert api.requests[0] == "/link/orders?filter=%7Ba%7D&all=true&ids=1&ids=2&note=%7B%7D"


@pytest.mark.parametrize(
    "pagination",
    [{"type": "page"}, {"type": "offset"}, {"type": "keyset", "fields": ["id"], "params": ["after"]}],
    ids=lambda pagination: pagination["type"],
)
async def test_what_is_no_record_does_not_make_its_page_a_short_one(api: SyncApi, pagination: dict[str, Any]) -> None:
    api.told["/x"] = [(200, {}, [order(1), None]), (200, {}, [7, order(2)]), (200, {}, [order(3)])]
    ending = {"size": 2, "short_page_ends": True}
    pages = await read(api.url, HttpStream.model_validate({"path": "x", "pagination": pagination | ending}))
    assert ids(pages) == [1, 2, 3]
    assert [len(page.refused) for page in pages] == [1, 1, 0]


async def test_a_page_without_any_record_is_not_the_end(api: SyncApi) -> None:
    api.told["/x"] = [(200, {}, [order(1)]), (200, {}, [None]), (200, {}, [order(2)]), (200, {}, [])]
    assert ids(await read(api.url, HttpStream.model_validate({"path": "x", "pagination": {"type": "offset"}}))) == [
        1,
        2,
    ]
    assert [request.partition("offset=")[2] for request in api.requests] == ["0", "1", "2", "3"]


async def test_a_page_without_any_record_has_no_values_after_which_to_go_on(api: SyncApi) -> None:
    api.told["/x"] = [(200, {}, [order(1)]), (200, {}, [None, 7])]
    keyset = {"type": "keyset", "fields": ["id"], "params": ["after"]}
    with pytest.raises(SourceFailed, match="none of the 2 items of a page can be read as a record"):
        await read(api.url, HttpStream.model_validate({"path": "x", "pagination": keyset}))


async def test_ties_and_tokens_may_have_whole_numbers_of_any_length(api: SyncApi) -> None:
    huge = 2**70
    api.told["/x"] = [
        (200, {}, f'[{{"id": 1, "n": {huge}}}, {{"id": {huge}}}]'),
        (200, {}, f'[{{"id": {huge}}}]'),
    ]
    keyset = {"type": "keyset", "fields": ["id"], "params": ["from"], "inclusive": True, "size": 2}
    assert ids(await read(api.url, HttpStream.model_validate({"path": "x", "pagination": keyset}))) == [1, huge]
