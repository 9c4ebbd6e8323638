"""One request to real servers that misbehave, and what is said of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio

from celeriac.families.webhooks.addresses import Address
from celeriac.families.webhooks.errors import TargetRefused
from celeriac.families.webhooks.guard import Guard
from celeriac.families.webhooks.outcomes import Failure, Reply
from celeriac.families.webhooks.sending import Poster
from celeriac.families.webhooks.signing import new_secret, sign
from celeriac.families.webhooks.targets import Target
from tests.support.hook_receiver import HookReceiver, hook_receiver
from tests.support.waiting import eventually

TLS = Path(__file__).parents[2] / "support" / "tls"
SECRET = new_secret()
BODY = b'{"type": "order.paid"}'
PLAN = {
    "/fails": [500],
    "/busy": [(429, {"Retry-After": "30", "Set-Cookie": "a=b"}, "later")],
    "/echo": [(400, {}, "you sent Bearer very-secret")],
    "/redirect": [(307, {"Location": "/elsewhere"})],
    "/packed": [(200, {"Content-Encoding": "gzip"}, "no gzip at all")],
    "/cookie": [(200, {"Set-Cookie": "session=1; Path=/"})],
    "/reset": ["reset"],
    "/close": ["close"],
    "/cut": ["cut"],
    "/hang": ["hang"],
    "/slow": ["slow"],
    "/endless": ["endless"],
    "/endless-headers": ["endless-headers"],
    "/garbage": ["garbage"],
    "/drip": ["drip"],
}


@pytest_asyncio.fixture
async def receiver() -> AsyncGenerator[HookReceiver]:
    async with hook_receiver(PLAN, secrets=[SECRET]) as served:
        yield served


def poster(allowed: Sequence[str] = ("127.0.0.1",), *, guard: Guard | None = None, **options: float) -> Poster:
    return Poster(guard or Guard(allowed), **options)  # pyright: ignore[reportArgumentType]


async def post(url: str, **options: float) -> Reply | Failure:
    guard = Guard(["127.0.0.1"])
    async with poster(guard=guard, **options) as sender:
        return await sender.post(guard.parse(url), sign("msg_1", 1_700_000_000, BODY, [SECRET]), BODY)


async def test_a_signed_request_arrives_as_it_was_sent(receiver: HookReceiver) -> None:
    reply = await post(f"{receiver.url}/hook?a=%2F")
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body, reply.headers) == (200, "ok", {"content-length": "2"})
    (hook,) = receiver.hooks
    assert (hook.path, hook.body, hook.id, receiver.unsigned) == ("/hook?a=%2F", BODY, "msg_1", 0)
    assert hook.headers["user-agent"].startswith("Celeriac/") and hook.headers["accept-encoding"] == "identity"


async def test_one_connection_serves_many_requests(receiver: HookReceiver) -> None:
    guard = Guard(["127.0.0.1"])
    async with poster(guard=guard) as sender:
        for _ in range(5):
            await sender.post(guard.parse(f"{receiver.url}/hook"), {}, BODY)
    assert (len(receiver.hooks), receiver.connections) == (5, 1)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/fails", 500, "ok"),
        ("/busy", 429, "later"),
        ("/redirect", 307, "ok"),
        ("/packed", 200, "(14 bytes, packed as gzip)"),
    ],
)
async def test_any_status_is_a_reply_and_no_redirect_is_followed(
    receiver: HookReceiver, path: str, status: int, body: str
) -> None:
    reply = await post(receiver.url + path)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (status, body)
    assert [hook.path for hook in receiver.hooks] == [path]
    assert "set-cookie" not in reply.headers
    assert reply.headers.get("retry-after") == ("30" if path == "/busy" else None)


async def test_what_was_sent_as_a_secret_is_not_in_the_reply(receiver: HookReceiver) -> None:
    guard = Guard(["127.0.0.1"])
    async with poster(guard=guard) as sender:
        reply = await sender.post(guard.parse(f"{receiver.url}/echo"), {"Authorization": "Bearer very-secret"}, BODY)
    assert isinstance(reply, Reply) and reply.body == "you sent ***"
    assert receiver.hooks[0].headers["authorization"] == "Bearer very-secret"


async def test_cookies_and_the_environments_proxy_are_not_used(
    receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/nonexistent")
    guard = Guard(["127.0.0.1"])
    async with poster(guard=guard) as sender:
        for _ in range(2):
            assert isinstance(await sender.post(guard.parse(f"{receiver.url}/cookie"), {}, BODY), Reply)
    assert "cookie" not in receiver.hooks[1].headers


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("/reset", "broken", "connection"),
        ("/close", "broken", "without an answer"),
        ("/cut", "broken", "too early|lost"),
        ("/hang", "timeout", "nothing of the answer came for 0.2 s"),
        ("/slow", "timeout", "nothing of the answer came for 0.2 s"),
        ("/endless-headers", "protocol", "not HTTP"),
        ("/garbage", "protocol", "not HTTP"),
    ],
)
async def test_an_answer_that_breaks_is_a_failure_that_is_explained(
    receiver: HookReceiver, path: str, kind: str, says: str
) -> None:
    failure = await post(receiver.url + path, read_seconds=0.2)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert any(each in failure.text for each in says.split("|"))
    assert "127.0.0.1" not in failure.text


async def test_an_endless_body_is_read_to_the_cap_and_its_connection_closed(receiver: HookReceiver) -> None:
    guard = Guard(["127.0.0.1"])
    async with poster(guard=guard, max_response_bytes=1000) as sender:
        for _ in range(2):
            reply = await sender.post(guard.parse(f"{receiver.url}/endless"), {}, BODY)
            assert isinstance(reply, Reply) and (reply.status, len(reply.body)) == (200, 1000)
        assert receiver.connections == 2
        await eventually(lambda: not receiver.open_connections, "both have ended")


async def test_the_whole_has_a_limit_however_it_drips(receiver: HookReceiver) -> None:
    failure = await post(f"{receiver.url}/drip", read_seconds=20, total_seconds=0.3)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.text) == ("timeout", "the answer took longer than 0.3 s")


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        failure = await post(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.text) == ("connect", "no connection came about: the server refused it")


async def test_a_server_that_takes_no_connection_is_given_up() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]  # its queue is full, so the system drops what knocks
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            failure = await post(f"http://127.0.0.1:{full.getsockname()[1]}/", connect_seconds=0.3)
        finally:
            for filler in fillers:
                filler.close()
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.text) == ("timeout", "connecting took longer than 0.3 s")


async def test_a_name_that_is_not_resolved_is_a_failure() -> None:
    def no_such_name(_: str) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    guard = Guard(look_up=no_such_name)
    async with poster(guard=guard) as sender:
        failure = await sender.post(guard.parse("http://hooks.example/"), {}, BODY)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.text) == ("name", "the name of the host cannot be resolved")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context


@pytest.mark.parametrize(
    ("host", "trusted", "says"),
    [
        ("localhost", True, None),
        ("127.0.0.1", True, None),
        ("localhost", False, "the certificate is not valid: self-signed certificate"),
        ("other.example", True, "Hostname mismatch"),
    ],
)
async def test_a_certificate_is_checked(host: str, trusted: bool, says: str | None) -> None:
    guard = Guard(["127.0.0.1"], look_up=lambda _: [ip_address("127.0.0.1")])
    context = ssl.create_default_context(cafile=str(TLS / "cert.pem")) if trusted else None
    async with hook_receiver(tls=server_context()) as receiver, Poster(guard, tls=context) as sender:
        outcome = await sender.post(guard.parse(f"https://{host}:{receiver.port}/"), {}, BODY)
        if says is None:
            assert isinstance(outcome, Reply) and outcome.status == 200
        else:
            assert isinstance(outcome, Failure) and outcome.kind == "tls" and says in outcome.text
            assert receiver.hooks == []


async def test_a_server_without_tls_is_a_failure_of_tls() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        failure = await post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert isinstance(failure, Failure) and failure.kind == "tls"


async def test_a_name_that_leads_elsewhere_the_next_time_gets_no_connection() -> None:
    answers = ["127.0.0.2", "127.0.0.1"]
    guard = Guard(["127.0.0.2"], look_up=lambda _: [ip_address(answers.pop(0))])
    async with hook_receiver(address="127.0.0.2") as theirs, hook_receiver(port=theirs.port) as ours:
        target = guard.parse(f"http://rebinding.example:{theirs.port}/")
        async with poster(guard=guard) as sender:
            assert isinstance(await sender.post(target, {}, BODY), Reply)
        assert answers == ["127.0.0.1"]  # it was asked once, and the connection made to what was checked
        async with poster(guard=guard) as sender:
            with pytest.raises(TargetRefused):
                await sender.post(target, {}, BODY)
        assert (len(theirs.hooks), ours.connections) == (1, 0)


async def test_a_name_is_resolved_once_for_many_connections_at_a_time(receiver: HookReceiver) -> None:
    asked: list[str] = []

    def look_up(name: str) -> list[Address]:
        asked.append(name)
        return [ip_address("127.0.0.1")]

    guard = Guard(["127.0.0.1"], look_up=look_up)
    target = guard.parse(f"http://hooks.example:{receiver.port}/")
    async with poster(guard=guard) as sender:
        await asyncio.gather(*(sender.post(target, {}, BODY) for _ in range(20)))
    assert (asked, len(receiver.hooks)) == (["hooks.example"], 20)


@pytest.mark.parametrize("host", ["localhost", "ip6-localhost"])
async def test_a_real_name_of_this_machine_is_refused(receiver: HookReceiver, host: str) -> None:
    guard = Guard(look_up=None if host == "localhost" else lambda _: [ip_address("::ffff:127.0.0.1")])
    async with poster(guard=guard) as sender:
        with pytest.raises(TargetRefused):
            await sender.post(guard.parse(f"http://{host}:{receiver.port}/"), {}, BODY)
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_an_address_that_nobody_checked_gets_no_connection(receiver: HookReceiver, host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    target = Target(f"http://{shown}:{receiver.port}/", "http", host, receiver.port, ip_address(host))
    async with poster([]) as sender:
        with pytest.raises(TargetRefused):
            await sender.post(target, {}, BODY)
    assert receiver.connections == 0
