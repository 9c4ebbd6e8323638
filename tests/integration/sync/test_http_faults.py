"""An API that fails: what is sent again, what is not, and what the error says."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from celeriac import Celeriac
from celeriac.core.errors import RunLater
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable
from celeriac.families.sync.http.budget import LOOK_AGAIN_S, host_limit
from celeriac.families.sync.http.model import HttpStream
from tests.support.sync_api import SyncApi, sync_api
from tests.support.sync_reading import ids, read, stream_of

ALL = list(range(1, 251))
#: So many seconds of patience that nothing waits.
IMPATIENT = {"reading": {"patience_s": 0.05}}


@pytest_asyncio.fixture
async def api() -> AsyncGenerator[SyncApi]:
    async with sync_api() as api:
        yield api


def stream(**options: Any) -> HttpStream:
    return HttpStream.model_validate({"path": "x", **options})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_an_answer_that_may_pass_is_asked_for_again_and_then_is_an_outage(api: SyncApi, status: int) -> None:
    api.told["/x"] = [(status, {}, "no")]
    with pytest.raises(SourceUnavailable, match=rf"GET {api.url}/x: the answer is {status}, after 3 tries"):
        await read(api.url, stream(), attempts=3)
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, "is 400"),
        (404, "is 404"),
        (422, "is 422"),
        (401, "is 401; the credentials are"),
        (403, "is 403; the cred"),
    ],
)
async def test_an_answer_that_will_not_pass_fails_at_once(api: SyncApi, status: int, fault: str) -> None:
    api.told["/x"] = [(status, {}, "no")]
    with pytest.raises(SourceFailed, match=fault):
        await read(api.url, stream())
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_a_parent_that_was_deleted_has_no_children(api: SyncApi, status: int) -> None:
    api.told["/x/7"] = [(status, {}, "gone")]
    pages = await read(api.url, HttpStream(path="x/{parent.id}"), {"parent": {"id": 7}})
    assert [(len(page.records), page.after, page.requests) for page in pages] == [(0, None, 1)]


@pytest.mark.parametrize(
    ("behaviour", "kind", "fault"),
    [
        ("reset", SourceUnavailable, "the connection was lost|without an answer"),
        ("close", SourceUnavailable, "the server closed the connection without an answer"),
        ("cut", SourceUnavailable, "the answer ended too early"),
        ("truncated", SourceUnavailable, r"the answer is no JSON \(application/json\)"),
        ("html", SourceFailed, r"the answer is no JSON \(text/html\)"),
        ("hang", SourceUnavailable, r"nothing came for 0\.2 s"),
        ("drip", SourceUnavailable, "the answer came too slowly"),
    ],
)
async def test_a_broken_answer_says_what_is_wrong(
    api: SyncApi, behaviour: str, kind: type[Exception], fault: str
) -> None:
    api.told["/link/orders"] = [behaviour]
    with pytest.raises(kind, match=fault):
        await read(api.url, stream_of("link"), attempts=2, read_timeout=0.2, timeout=0.4)


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    async with sync_api() as api:
        url = api.url
    with pytest.raises(SourceUnavailable, match="no connection came about: Connect"):
        await read(url, stream(), attempts=1)
    with pytest.raises(SourceUnavailable, match="the name of the host cannot be resolved"):
        await read("http://nowhere.invalid", stream(), attempts=1)


async def test_a_retry_after_is_waited_for(api: SyncApi) -> None:
    api.told["/link/orders"] = [(429, {"Retry-After": "1"}, ""), None]
    began = time.monotonic()
    assert ids(await read(api.url, stream_of("link"))) == ALL
    assert time.monotonic() - began >= 1


async def test_a_long_retry_after_gives_the_jobs_slot_back_and_holds_for_every_sync_of_the_host(
    api: SyncApi, app: Celeriac
) -> None:
    api.told["/x"] = [(503, {"Retry-After": "3600"}, "")]
    with pytest.raises(RunLater, match="asks to be left alone for 3,600 s") as asked:
        await read(api.url, stream(), limits=app.limits)
    told = f"sync:host:127.0.0.1:{api.port} takes no request for 3,[56].. s"
    with pytest.raises(RunLater, match=told) as refused:
        await read(api.url, stream_of("link"), limits=app.limits)
    assert asked.value.seconds == refused.value.seconds == LOOK_AGAIN_S, (
        "so that it is soon seen when somebody opens it"
    )
    assert len(api.requests) == 1
    await app.limits.reopen([host_limit(api.url)])
    assert ids(await read(api.url, stream_of("link"), limits=app.limits)) == ALL


async def test_a_short_retry_after_holds_for_every_sync_of_the_host(api: SyncApi, app: Celeriac) -> None:
    api.told["/x"] = [(429, {"Retry-After": "1"}, ""), (200, {}, [])]
    await read(api.url, stream(), limits=app.limits)  # it waits for its turn like all others
    assert len(api.requests) == 2
    api.told["/y"] = [(429, {"Retry-After": "1"}, "")]
    with pytest.raises(SourceUnavailable):
        await read(api.url, HttpStream(path="y"), limits=app.limits, attempts=1)
    assert ids(await read(api.url, stream_of("link"), limits=app.limits)) == ALL


async def test_a_budget_is_shared_by_all_syncs_of_a_host(api: SyncApi, app: Celeriac) -> None:
    rate = {"requests": 1, "seconds": 3600}
    with pytest.raises(RunLater, match="the budget of requests"):
        await read(api.url, stream_of("link"), limits=app.limits, rate=rate, **IMPATIENT)
    assert len(api.requests) == 1
    with pytest.raises(RunLater):
        await read(api.url, stream_of("page"), limits=app.limits, rate=rate, **IMPATIENT)
    assert len(api.requests) == 1


async def test_requests_under_way_are_bounded_and_a_slot_is_free_after_an_error(api: SyncApi, app: Celeriac) -> None:
    rate = {"requests": 1000, "concurrency": 1}
    api.told["/x"] = ["hang"]
    with pytest.raises(SourceUnavailable):
        await read(api.url, stream(), limits=app.limits, rate=rate, attempts=1, read_timeout=0.1)
    assert ids(await read(api.url, stream_of("link"), limits=app.limits, rate=rate)) == ALL


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_packed_answers_are_unpacked(api: SyncApi, encoding: str) -> None:
    api.told["/page/orders"] = [encoding, encoding, None]
    assert ids(await read(api.url, stream_of("page"))) == ALL


async def test_a_small_answer_that_is_packed_cannot_become_a_large_one(api: SyncApi) -> None:
    api.told["/x"] = ["bomb"]
    with pytest.raises(SourceFailed, match="more than 1 MB when it is unpacked"):
        await read(api.url, stream(), max_response_mb=1)
    assert len(api.requests) == 1


async def test_an_answer_that_is_packed_in_another_way_than_was_asked_for_is_refused(api: SyncApi) -> None:
    api.told["/x"] = [(200, {"Content-Encoding": "br"}, "x")]
    with pytest.raises(SourceFailed, match="the answer is packed as 'br'"):
        await read(api.url, stream())
    api.told["/x"] = [(200, {"Content-Encoding": "gzip"}, "no gzip")]
    with pytest.raises(SourceUnavailable, match="cannot be unpacked"):
        await read(api.url, stream(), attempts=1)


@pytest.mark.parametrize(
    ("records", "body", "fault"),
    [
        ("data", {"error": "no"}, "the body has nothing at records: 'data'"),
        ("data", {"data": {"a": 1}}, "the body has no list at records: 'data', but an object of 1"),
        ("", {"items": [], "total": 0}, "`records` does not say where its list is; its lists are 'items'"),
        ("", "text", "the body is no list of records, but 'text'"),
        ("$.a.b", {"a": []}, r"the body has nothing at records: '\$.a"),
    ],
)
async def test_a_body_without_its_list_is_an_error_that_names_the_path(
    api: SyncApi, records: str, body: Any, fault: str
) -> None:
    api.told["/x"] = [(200, {}, body if not isinstance(body, str) else f'"{body}"')]
    with pytest.raises(SourceFailed, match=fault):
        await read(api.url, stream(records=records))
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("records", "body", "found"),
    [
        ("data.items", {"data": {"items": [{"id": 1}]}}, [1]),
        ("data.items", {"data.items": [{"id": 1}]}, [1]),
        ("data", {"data": None}, []),
        ("$.groups[*].items[*]", {"groups": [{"items": [{"id": 1}, {"id": 2}]}, {"items": [{"id": 3}]}]}, [1, 2, 3]),
        ("$['a.b'].c", {"a.b": {"c": [{"id": 4}]}}, [4]),
        ("$", {"id": 5, "name": "one record"}, [5]),
        ("$[*]", [], []),
        ("$.items[?@.id > 6]", {"items": [{"id": 6}, {"id": 7}]}, [7]),
        ("$.items", {"items": [{"id": 8}]}, [8]),
        ("pages.1", {"pages": [[], [{"id": 6}]]}, [6]),
    ],
)
async def test_records_are_found_by_a_path(api: SyncApi, records: str, body: Any, found: list[int]) -> None:
    api.told["/x"] = [(200, {}, body)]
    assert ids(await read(api.url, stream(records=records))) == found


async def test_no_content_is_a_page_without_records(api: SyncApi) -> None:
    api.told["/x"] = [(204, {}, "")]
    assert [len(page.records) for page in await read(api.url, stream(records="data"))] == [0]


async def test_an_answer_with_status_200_may_be_an_error(api: SyncApi) -> None:
    rule = {"path": "status.code", "unless": [None, "ok"], "passing": ["busy"]}
    api.told["/x"] = [
        (200, {}, {"status": {"code": "busy"}}),
        (200, {}, {"status": {"code": "ok"}, "items": [{"id": 1}]}),
    ]
    assert ids(await read(api.url, stream(records="items", error=rule))) == [1]
    api.told["/y"] = [(200, {}, {"status": {"code": "quota\x1b[2J"}, "items": [{"id": 1}]})]
    with pytest.raises(SourceFailed, match=r"answers with an error at 'status.code': 'quota\\x1b\[2J'"):
        await read(api.url, HttpStream.model_validate({"path": "y", "records": "items", "error": rule}))


async def test_no_request_leaves_for_another_origin(api: SyncApi) -> None:
    async with sync_api() as other:
        link = {"Link": f'<{other.url}/link/orders>; rel="next"'}
        for told in ((200, link, []), (302, {"Location": f"{other.url}/link/orders"}, "")):
            api.told["/x"] = [told]
            with pytest.raises(SourceFailed, match="where credentials must not go; name that origin in `also`"):
                await read(api.url, stream())
        assert other.requests == []
        assert ids(await read(api.url, stream(), also=[other.url])) == ALL


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "//127.0.0.1:1/x", "http://[::1", 7])
async def test_a_next_url_may_be_nothing_but_one_of_the_api(api: SyncApi, target: Any) -> None:
    api.told["/x"] = [(200, {}, {"items": [], "next": target})]
    with pytest.raises(SourceFailed, match="the next URL at 'next'"):
        await read(api.url, stream(records="items", pagination={"type": "next_url", "path": "next"}))


async def test_redirects_are_followed_but_not_for_ever(api: SyncApi) -> None:
    api.told["/x"] = [(301, {"Location": "/link/orders"}, "")]
    assert ids(await read(api.url, stream())) == ALL
    api.told["/x"] = [(301, {"Location": "/x"}, "")]
    with pytest.raises(SourceFailed, match="more than 5 redirects"):
        await read(api.url, stream())


async def test_proxies_and_credentials_of_the_environment_are_not_used(
    api: SyncApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ids(await read(api.url, stream_of("link"))) == ALL


async def test_the_sources_own_clock_comes_with_each_page() -> None:
    async with sync_api(skew=-7200) as api:
        page = (await read(api.url, stream_of("link")))[0]
        assert page.source_time_ms is not None
        assert -7300 < page.source_time_ms / 1000 - time.time() < -7100


async def test_a_reader_that_is_left_in_the_middle_leaves_nothing_open(api: SyncApi) -> None:
    from celeriac.families.sync.pages import Asked
    from tests.support.sync_reading import reader

    async with reader(api.url, {"orders": stream_of("page")}) as opened:
        pages = opened.pages(Asked(stream="orders"))
        await anext(pages)
        await pages.aclose()
        assert ids([page async for page in opened.pages(Asked(stream="orders"))]) == ALL
