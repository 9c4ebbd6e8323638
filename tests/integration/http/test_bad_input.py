"""What strangers send: each is answered with a clear problem, and nothing is enqueued."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import redis

from celeriac.core.text import FAULT
from tests.support.api_server import ApiServer
from tests.support.jobs_client import JobsClient, problem

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def nothing_enqueued(store: redis.Redis) -> Iterator[None]:
    """No test of this file leaves a job behind."""
    before, waiting = known_jobs(store), store.llen("celery")
    yield
    assert known_jobs(store) == before
    assert store.llen("celery") <= waiting


def known_jobs(store: redis.Redis) -> tuple[int, list[bytes]]:
    return store.zcard("celeriac:jobs"), sorted(store.keys("celeriac:idempotency:*"))


async def post(client: JobsClient, task: str, body: bytes, **headers: str) -> httpx2.Response:
    return await client.post(f"/{task}", content=body, headers={**JSON, **headers})


async def raw(api: ApiServer, request: bytes) -> bytes:
    """Send bytes, and return what is answered before the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("task", ["no.such", "ADD", "add%20", "%00", "..%2Fadd", "add.", "é", "x" * 10_000])
async def test_an_unknown_task_is_not_found(client: JobsClient, task: str) -> None:
    answer = await client.http.post(httpx2.URL(str(client.http.base_url) + f"/jobs/{task}"), json={})
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert body["type"] in ("urn:celeriac:problem:unknown-task", "urn:celeriac:problem:not-found")
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    ("task", "arguments", "loc", "fault"),
    [
        ("add", {}, ["body", "a"], "missing"),
        ("add", {"a": "x"}, ["body", "a"], "int_parsing"),
        ("add", {"a": 1.5}, ["body", "a"], "int_from_float"),
        ("add", {"a": 1, "c": 2}, ["body", "c"], "extra_forbidden"),
        ("add", {"a": [1]}, ["body", "a"], "int_type"),
        ("add", [1], ["body"], "dict_type"),
        ("add", "a", ["body"], "dict_type"),
        ("add", 1, ["body"], "dict_type"),
        ("add", None, ["body"], "dict_type"),
        ("celeriac.echo", None, ["body"], "dict_type"),
        ("celeriac.echo", {"seconds": -1}, ["body", "seconds"], "greater_than_equal"),
        ("celeriac.echo", {"seconds": 1e9}, ["body", "seconds"], "less_than_equal"),
        ("remind", {"invoice": {"lines": [{"article": "x", "count": 0}]}}, ["body", "invoice", "due"], "missing"),
        ("fail", {"message": "x", "\ud800": 1}, ["body"], "string_unicode"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_one_by_one(
    client: JobsClient, task: str, arguments: Any, loc: list[str], fault: str
) -> None:
    body = problem(await post(client, task, json.dumps(arguments).encode()), 422, "invalid-request")
    assert (loc, fault) in [(error["loc"], error["type"]) for error in body["errors"]]
    assert all(set(error) == {"loc", "msg", "type"} for error in body["errors"])


@pytest.mark.parametrize(
    ("task", "arguments", "loc"),
    [
        ("celeriac.echo", {"value": "\ud800"}, ["body", "value"]),
        ("celeriac.echo", {"value": ["a", {"b": "x\udcff.txt"}]}, ["body", "value", 1, "b"]),
        ("celeriac.echo", {"value": {"a": {"\udfff": 1}}}, ["body", "value", "a"]),
        ("fail", {"message": "\ud83d"}, ["body", "message"]),
        ("fail", "\ud800", ["body"]),
        ("remind", {"invoice": {"lines": [{"article": "\udc00\ud800", "count": 1}]}},
         ["body", "invoice", "lines", 0, "article"]),
    ],
)  # fmt: skip
async def test_text_that_is_no_unicode_is_refused_by_its_place(
    client: JobsClient, task: str, arguments: Any, loc: list[str | int]
) -> None:
    body = problem(await post(client, task, json.dumps(arguments).encode()), 422, "invalid-request")
    assert body["errors"] == [{"loc": loc, "msg": FAULT, "type": "string_unicode"}]
    assert body["detail"] == f"{'.'.join(map(str, loc))}: {FAULT}"


async def test_bytes_that_are_no_unicode_are_no_fault_of_the_server_wherever_they_are(client: JobsClient) -> None:
    document = (await client.http.get("/openapi.json")).json()
    half = "%ED%A0%80"  # a lone surrogate, as if UTF-8 had it
    headers = dict.fromkeys(("Idempotency-Key", "Last-Event-ID", "Origin", "X-Request-ID"), b"\xed\xa0\x80")
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            path = re.sub(r"{\w+}", half, template)
            named = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
            query = "&".join(f"{name}={half}" for name in (*named, half))
            body = {"content": f'"{half}"'.encode(), "headers": {**JSON, **headers}} if method == "post" else {}
            for asked in (template, f"{path}?{query}"):
                url = httpx2.URL(f"{client.http.base_url}".rstrip("/") + asked)
                answer = await client.http.request(method.upper(), url, **body)
                assert answer.status_code < 500, (method, asked, answer.text)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "Expecting property name"),
        (b'{"value": }', "Expecting value"),
        (b'{"value": 1}}', "Extra data"),
        (b"{'value': 1}", "property name enclosed in double quotes"),
        (b'{"value": NaN}', "NaN is not a number in JSON"),
        (b'{"value": Infinity}', "Infinity is not a number in JSON"),
        (b'{"value": -Infinity}', "-Infinity is not a number in JSON"),
        (b'{"value": 1e999}', "1e999 is too large a number"),
        (b'{"value": ' + b"1" * 5000 + b"}", "digits"),
        (b'{"value": "\xff"}', "not UTF-8 at byte 11"),
        (b'\xef\xbb\xbf{"value": 1}', "BOM"),
        ('{"value": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"value": "\x00"}', "Invalid control character"),
        (b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"value": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deeply"),
        (b"\x00", "Expecting value"),
        (b"   ", "Expecting value"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_body_that_is_no_json_is_refused(client: JobsClient, body: bytes, said: str) -> None:
    assert said in problem(await post(client, "celeriac.echo", body), 400, "invalid-json")["detail"]


@pytest.mark.parametrize("depth", [300, 600, 900])
async def test_what_can_be_read_but_not_stored_is_refused(client: JobsClient, depth: int) -> None:
    answer = await post(client, "celeriac.echo", b'{"value": ' + b"[" * depth + b"]" * depth + b"}")
    assert answer.status_code in (400, 422), answer.text
    problem(answer, answer.status_code, {400: "invalid-json", 422: "invalid-arguments"}[answer.status_code])


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "json", ""]
)
async def test_a_body_that_is_not_called_json_is_not_taken_for_it(client: JobsClient, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    body = problem(await client.post("/add", content=b'{"a": 1}', headers=headers), 415, "unsupported-media-type")
    assert "application/json" in body["detail"]


async def test_an_empty_body_lacks_its_arguments(client: JobsClient) -> None:
    problem(await client.post("/add"), 422, "invalid-request")
    problem(await client.post("/add", content=b"", headers=JSON), 422, "invalid-request")


async def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent(api: ApiServer) -> None:
    head = b"POST /jobs/celeriac.echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = await raw(api, head + b"Content-Length: 1048577\r\nConnection: close\r\n\r\n")
    assert b"HTTP/1.1 413 " in answer
    assert b"urn:celeriac:problem:body-too-large" in answer


@pytest.mark.parametrize("size", [1_048_577, 30_000_000])
async def test_a_body_that_is_too_large_is_refused(client: JobsClient, size: int) -> None:
    body = json.dumps({"value": "x" * size}).encode()
    assert "1,048,576 bytes" in problem(await post(client, "celeriac.echo", body), 413, "body-too-large")["detail"]


async def test_a_body_of_unannounced_length_is_refused_before_it_ends(api: ApiServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"POST /jobs/celeriac.echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    )
    for _ in range(16):
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    async with asyncio.timeout(10):
        assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_body_shorter_than_announced_is_never_taken_for_whole(api: ApiServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"POST /jobs/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 100\r\n\r\n{"a": 1}'
    )
    writer.write_eof()
    async with asyncio.timeout(10):
        assert b" 202 " not in await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30, "٣", "1, 2"])
async def test_a_length_that_is_no_length_is_refused(api: ApiServer, length: str) -> None:
    head = "POST /jobs/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = await raw(api, f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
    assert answer.split()[1] in (b"400", b"413", b"422"), answer


async def test_many_faults_are_counted_and_not_all_shown(client: JobsClient) -> None:
    many = {"a": 1, **{f"unknown{n}": 0 for n in range(50_000)}}
    answer = await post(client, "add", json.dumps(many).encode())
    body = problem(answer, 422, "invalid-request")
    assert len(body["errors"]) == 20
    assert body["detail"].endswith("; and 49995 more")
    assert len(answer.content) < 10_000


async def test_what_was_sent_is_not_sent_back_at_length(client: JobsClient) -> None:
    answer = await post(client, "add", json.dumps({"a": 1, "x" * 900_000: 1}).encode())
    problem(answer, 422, "invalid-request")
    assert len(answer.content) < 5_000


TRICKS = (
    *("..", "%2e%2e", "..%2Fhealth", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00", "a%00b", "a%0d%0aSet-Cookie:%20x=1"),
    *("%E2%80%AE", "%F0%9F%92%A9", "%ff%fe", "*", "[a-z]", "%7B%7D", "a%20b", ";drop", "-", "celeriac:jobs"),
    "x" * 10_000,
)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")]
)
async def test_tricks_in_an_id_lead_nowhere(api: ApiServer, method: str, path: str) -> None:
    for trick in TRICKS:
        request = f"{method} /jobs/{trick}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        head, _, body = (await raw(api, request.encode())).partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        assert lines[0].split()[1] == b"404", (trick, head)
        assert b"content-type: application/problem+json" in lines
        assert not any(line.startswith(b"set-cookie") for line in lines)
        assert len(body) < 1000


async def test_an_unknown_path_is_a_problem(client: JobsClient) -> None:
    for path in ("/", "/nothing", "/jobs/a/b/c", "/jobs/a/result/b", "/health", "//jobs", "/jobs/../../etc/passwd"):
        problem(await client.http.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", "GET"),
        ("/jobs/0b8f5a3e", "GET"),
        ("/jobs/celeriac.echo", "POST"),
        ("/jobs/0b8f5a3e/result", "GET"),
        ("/jobs/0b8f5a3e/events", "GET"),
        ("/jobs/0b8f5a3e/cancel", "POST"),
        ("/jobs/0b8f5a3e/retry", "POST"),
        ("/health/live", "GET"),
        ("/health/ready", "GET"),
    ],
)
async def test_other_methods_are_not_allowed(client: JobsClient, path: str, allowed: str) -> None:
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"):
        answer = await client.http.request(method, path)
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == allowed, method


async def test_a_header_cannot_be_smuggled_in(api: ApiServer) -> None:
    head = "POST /jobs/add HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n"
    for evil in ("Idempotency-Key: a\rSet-Cookie: x=1\r\n", "Idempotency-Key: a\x00b\r\n", "Idempotency Key: a\r\n"):
        answer = await raw(api, f"{head}{evil}\r\n".encode())
        assert answer.split()[1] in (b"400", b"422"), answer
        assert b"set-cookie" not in answer.lower()


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_idempotency_key_has_1_to_255_characters(client: JobsClient, key: str) -> None:
    answer = await client.post("/add", json={"a": 1}, headers={"Idempotency-Key": key})
    body = problem(answer, 422, "invalid-request")
    assert body["errors"][0]["loc"] == ["header", "idempotency-key"]


@pytest.mark.parametrize(
    "after",
    ["x", "1", "1-", "-1", "1-1-1", "$", "+", "(1-1", "9" * 19 + "-1", "1-" + "9" * 19, "\u0661-1", "x" * 10_000],
)
async def test_a_last_event_id_of_ones_own_making_is_refused(client: JobsClient, after: str) -> None:
    answer = await client.get("/0b8f5a3e/events", headers={"Last-Event-ID": after.encode()})
    body = problem(answer, 422, "invalid-request")
    assert body["errors"][0]["loc"] == ["header", "last-event-id"]


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "_", "1_", "_a", "-1_a", "1_a b", "1_é", "\u0661_a", "1_a\x00", "inf_a", "1e5_a"),
        *("9" * 17 + "_a", "1_" + "a" * 200),
    ],
    ids=ascii,
)
async def test_a_cursor_of_ones_own_making_is_refused(client: JobsClient, cursor: str) -> None:
    body = problem(await client.get("", params={"cursor": cursor}), 422, "invalid-request")
    assert "cursor" in body["detail"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "1" * 5000}, "limit"),
        ({"state": "SUCCESS"}, "state"),
        ({"state": ""}, "state"),
        ({"task": "x" * 201}, "task"),
        ({"queue": "x" * 201}, "queue"),
        ({"parent": "x" * 129}, "parent"),
    ],
)
async def test_a_wrong_filter_is_refused_by_name(client: JobsClient, query: dict[str, str], named: str) -> None:
    answer = await client.get("", params=query)
    body = problem(answer, 422, "invalid-request")
    assert body["errors"][0]["loc"] == ["query", named]
    assert len(answer.content) < 1000, "what was sent is not sent back"


async def test_the_server_does_not_say_more_than_it_must(api: ApiServer, client: JobsClient) -> None:
    answer = await client.http.get("/jobs/unknown")
    port = str(urlsplit(str(client.http.base_url)).port)
    assert "celeriac:" not in answer.text.replace("urn:celeriac:problem:", "")
    assert port not in answer.text
