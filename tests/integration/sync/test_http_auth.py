"""Credentials reach the API, and nobody who looks at errors, logs, places or definitions sees them."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from celeriac.families.sync.errors import SourceFailed, SourceUnavailable
from celeriac.families.sync.http.model import HttpSource, HttpStream
from celeriac.families.sync.pages import Place
from tests.support.sync_api import SyncApi, sync_api
from tests.support.sync_reading import STYLES, ids, read, stream_of

SECRET = "hunter2+/ä?&" * 2
TOKEN = "hunter2-token"
ALL = list(range(1, 251))


@pytest_asyncio.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[SyncApi]:
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    async with sync_api() as api:
        yield api


def oauth2(api: SyncApi, **options: Any) -> dict[str, Any]:
    return {
        "type": "oauth2",
        "token_url": f"{api.url}/token",
        "client_id": "celeriac:1",
        "client_secret": "env:SHOP_SECRET",
    } | options


@pytest.mark.parametrize(
    ("auth", "accepted"),
    [
        ({"type": "bearer", "token": "env:SHOP_TOKEN"}, TOKEN),
        ({"type": "header", "name": "X-Key", "value": "env:SHOP_TOKEN"}, TOKEN),
        ({"type": "query", "name": "key", "value": "env:SHOP_SECRET"}, SECRET),
        (
            {"type": "basic", "user": "me", "password": "env:SHOP_SECRET"},
            "Basic " + b64encode(f"me:{SECRET}".encode()).decode(),
        ),
    ],
)
async def test_credentials_go_with_each_request_and_no_place_has_them(
    api: SyncApi, auth: dict[str, Any], accepted: str
) -> None:
    api.accepts = {accepted}
    for style in STYLES:
        pages = await read(api.url, stream_of(style), auth=auth)
        assert ids(pages) == ALL
        assert "hunter2" not in repr([page.after for page in pages])
        rest = await read(api.url, stream_of(style), {"place": pages[0].after or Place()}, auth=auth)
        assert ids(rest) == ALL[100:]


async def test_a_next_url_that_repeats_the_credentials_is_stored_without_them(api: SyncApi) -> None:
    api.told["/x"] = [(200, {"Link": f"</page/orders?key={TOKEN}&page=2>; rel=next"}, [])]
    pages = await read(api.url, HttpStream(path="x"), auth={"type": "query", "name": "key", "value": "env:SHOP_TOKEN"})
    assert pages[0].after == Place(f"{api.url}/page/orders?page=2", 0, 1)
    assert api.requests[1].count(f"key={TOKEN}") == 1


async def test_a_secret_of_a_file_is_read_when_a_run_begins(api: SyncApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    auth = {"type": "bearer", "token": f"file:{file}"}
    with pytest.raises(SourceFailed, match=f"the secret file:{file} cannot be read: {file}: No such file"):
        await read(api.url, stream_of("link"), auth=auth)
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        api.accepts = {token}
        assert ids(await read(api.url, stream_of("link"), auth=auth)) == ALL


@pytest.mark.parametrize(("value", "fault"), [("", "is empty where this worker runs"), ("a\nb", "has a line end")])
async def test_a_secret_that_cannot_be_one_is_named_and_not_shown(
    api: SyncApi, monkeypatch: pytest.MonkeyPatch, value: str, fault: str
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", value)
    with pytest.raises(SourceFailed, match=f"the secret env:SHOP_TOKEN {fault}"):
        await read(api.url, stream_of("link"), auth={"type": "bearer", "token": "env:SHOP_TOKEN"})
    assert api.requests == []


@pytest.mark.parametrize("told", [(400, {}, "no"), (503, {}, "no"), "truncated", "reset", (200, {}, {"error": TOKEN})])
@pytest.mark.parametrize("kind", ["bearer", "query", "basic"])
async def test_no_error_and_no_log_shows_a_secret(
    api: SyncApi, told: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.told["/link/orders"] = [told]
    auth = {
        "bearer": {"type": "bearer", "token": "env:SHOP_TOKEN"},
        "query": {"type": "query", "name": "key", "value": "env:SHOP_TOKEN"},
        "basic": {"type": "basic", "user": "me", "password": "env:SHOP_TOKEN"},
    }[kind]
    stream = stream_of("link", error={"path": "error"}, params={"note": TOKEN})
    with pytest.raises((SourceFailed, SourceUnavailable)) as failed:
        await read(api.url, stream, auth=auth, attempts=2)
    said = f"{failed.value} {failed.value!r} {failed.value.__cause__!r} {caplog.text}"
    assert "hunter2" not in said and b64encode(f"me:{TOKEN}".encode()).decode() not in said
    source = HttpSource.model_validate({"url": api.url, "auth": auth})
    assert "hunter2" not in f"{source!r} {source.model_dump_json()}"


@pytest.mark.parametrize("where", ["header", "body"])
async def test_a_token_is_asked_for_once_and_used_for_all_pages(api: SyncApi, where: str) -> None:
    api.accepts = {"nobody"}
    auth = oauth2(api, credentials_in=where, scope="orders:read", params={"audience": "shop"})
    assert ids(await read(api.url, stream_of("page"), auth=auth)) == ALL
    (form,) = api.forms
    assert (form["grant_type"], form["scope"], form["audience"]) == ("client_credentials", "orders:read", "shop")
    asked = next(one for one, path in zip(api.headers, api.requests, strict=True) if path == "/token")
    if where == "body":
        assert (form["client_id"], form["client_secret"]) == ("celeriac:1", SECRET)
        assert "Authorization" not in asked
    else:
        from urllib.parse import quote_plus

        packed = b64encode(f"celeriac%3A1:{quote_plus(SECRET)}".encode()).decode()
        assert asked["Authorization"] == f"Basic {packed}" and "client_secret" not in form


async def test_a_token_that_is_about_to_expire_is_renewed_before_it_does(api: SyncApi) -> None:
    api.accepts, api.token_life = {"nobody"}, 0
    assert ids(await read(api.url, stream_of("page"), auth=oauth2(api))) == ALL
    assert len(api.forms) == 4  # one for each page
    assert len(api.requests) == 8


@pytest.mark.parametrize("life", ["3600", None, "soon"])
async def test_a_token_may_tell_its_life_in_odd_ways(api: SyncApi, life: Any) -> None:
    api.accepts, api.token_life = {"nobody"}, life
    assert ids(await read(api.url, stream_of("page"), auth=oauth2(api))) == ALL
    assert len(api.forms) == 1


async def test_a_token_that_the_api_refuses_is_renewed_once(api: SyncApi) -> None:
    api.accepts, api.token_uses = {"nobody"}, 2
    assert ids(await read(api.url, stream_of("page"), auth=oauth2(api))) == ALL
    assert len(api.forms) == 2
    api.token_uses = 0
    with pytest.raises(SourceFailed, match="the answer is 401; the credentials are refused"):
        await read(api.url, stream_of("page"), auth=oauth2(api))
    assert len(api.forms) == 4


@pytest.mark.parametrize(
    ("told", "kind", "fault"),
    [
        (
            (401, {}, {"error": "invalid_client"}),
            SourceFailed,
            "the answer is 401: 'invalid_client'; look at client_id",
        ),
        ((200, {}, {"error": "odd"}), SourceFailed, "has no usable access_token"),
        ((200, {}, "no json"), SourceFailed, "the answer is 200; look at client_id"),
        ((200, {}, {"access_token": "x", "token_type": "mac"}), SourceFailed, "tokens of type 'mac'"),
        ((302, {"Location": "/link/orders"}, ""), SourceFailed, "the answer is 302"),
        ((500, {}, ""), SourceUnavailable, "POST .*/token: the answer is 500"),
        ("reset", SourceUnavailable, "POST .*/token: the connection was lost|without an answer"),
        ((200, {}, b"[" + b" " * 70_000 + b"]"), SourceFailed, "the answer has more"),
    ],
)
async def test_a_token_endpoint_that_fails_is_named(api: SyncApi, told: Any, kind: type[Exception], fault: str) -> None:
    api.told["/token"] = [told]
    with pytest.raises(kind, match=fault) as failed:
        await read(api.url, stream_of("page"), auth=oauth2(api), attempts=2)
    assert "hunter2" not in str(failed.value)


async def test_an_error_at_a_next_url_that_repeats_a_secret_does_not_show_it(api: SyncApi) -> None:
    api.told["/x"] = [(200, {"Link": f"</y?token={TOKEN}>; rel=next"}, [])]
    api.told["/y"] = [(400, {}, "no")]
    with pytest.raises(SourceFailed, match=r"/y\?token=\*\*\*: the answer is 400"):
        await read(api.url, HttpStream(path="x"), auth={"type": "bearer", "token": "env:SHOP_TOKEN"})
