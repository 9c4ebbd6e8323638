"""Webhooks of others, received by a real server: each event becomes one job, and what is not proven becomes none."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import Depends, FastAPI
from pydantic import BaseModel, SecretStr

from celeriac import Celeriac, ConfigurationError, Settings
from celeriac.families.webhooks import IncomingEvent, Received, receive
from celeriac.families.webhooks.errors import SecretInvalid
from celeriac.families.webhooks.signing import new_secret, public_key, sign
from celeriac.launch.resources.ports import free_port
from tests.support.api_server import NO_TLS, ApiServer, serving

OLD, NEW, PRIVATE = new_secret(), new_secret(), new_secret("v1a")
OTHERS = "whsec_a secret that is no Base64"
MAX_BYTES = 2000


class Paid(BaseModel):
    type: str
    cents: int


class Shop:
    """An application with a job for each style, and an API that receives webhooks for them."""

    def __init__(self, settings: Settings) -> None:
        self.app = Celeriac("shop", settings=settings)
        self.live = [OLD]

        @self.app.job(name="on_paid")
        async def on_paid(event: IncomingEvent[Paid]) -> None: ...

        @self.app.job(name="on_any")
        async def on_any(event: IncomingEvent[Any], note: str = "") -> None: ...

        self.on_paid, self.on_any = on_paid, on_any
        self.api = FastAPI(lifespan=self.app.lifespan)
        self._add("/standard", receive(on_paid, secrets=lambda: self.live, max_body_bytes=MAX_BYTES))
        self._add("/public", receive(on_paid, secrets=[public_key(PRIVATE), NEW], remember=timedelta(days=30)))
        self._add("/stripe", receive(on_any, secrets=[OTHERS, "another"], style="stripe"))
        self._add("/github", receive(on_any, secrets=OTHERS, style="github"))
        self._add("/slow", receive(on_any, secrets=OTHERS, style="github", read_seconds=0.2))

    def _add(self, path: str, dependency: Callable[..., Any]) -> None:
        @self.api.post(path, status_code=202)
        async def take(received: Received = Depends(dependency)) -> Received:
            return received

    async def jobs(self) -> list[dict[str, Any]]:
        """The arguments of all jobs, the oldest first."""
        records, _ = await self.app.client.page(limit=100)
        whole = [await self.app.client.get(record.id) for record in reversed(records)]
        return [record.arguments["event"] for record in whole if record.arguments]


@pytest.fixture(scope="module")
def served(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, ApiServer]]:
    shop = Shop(Settings(broker_url=SecretStr(valkey_url), data_dir=tmp_path_factory.mktemp("shop")))
    with serving(shop.api) as server:
        yield shop, server
    shop.app.close()


@pytest_asyncio.fixture
async def shop(served: tuple[Shop, ApiServer], broker_url: str) -> AsyncGenerator[Shop]:
    """The shop, on a database that `broker_url` has emptied."""
    shop, _ = served
    shop.live = [OLD]
    yield shop
    await shop.app.client.aclose()


@pytest_asyncio.fixture
async def client(shop: Shop, served: tuple[Shop, ApiServer]) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=NO_TLS, base_url=served[1].url, timeout=60) as http:
        yield http


def paid(cents: Any = 1250) -> bytes:
    return json.dumps({"type": "order.paid", "cents": cents}).encode()


def standard(body: bytes, message_id: str = "msg_1", *, secret: str = OLD, at: float = 0) -> dict[str, str]:
    return sign(message_id, int(time.time() + at), body, [secret])


def digest(signed: bytes, secret: str = OTHERS) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def stripe(body: bytes, secret: str = OTHERS, at: float = 0) -> dict[str, str]:
    now = int(time.time() + at)
    return {"Stripe-Signature": f"t={now},v1={digest(b'%d.' % now + body, secret)},v0=abc"}


def github(body: bytes, delivery: str = "d-1", secret: str = OTHERS) -> dict[str, str]:
    return {
        "X-Hub-Signature-256": f"sha256={digest(body, secret)}",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": "push",
    }


async def test_an_event_that_is_proven_becomes_a_job_with_typed_arguments(
    client: httpx2.AsyncClient, shop: Shop
) -> None:
    answer = await client.post("/standard", content=paid(), headers=standard(paid()))
    assert (answer.status_code, answer.json()) == (202, {"id": "msg_1"})
    assert await shop.jobs() == [
        {"id": "msg_1", "type": "order.paid", "payload": {"type": "order.paid", "cents": 1250}}
    ]


async def test_an_event_that_comes_again_gets_the_same_answer_and_no_second_job(
    client: httpx2.AsyncClient, shop: Shop
) -> None:
    tries = [client.post("/standard", content=paid(), headers=standard(paid(), at=-later)) for later in range(5)]
    answers = await asyncio.gather(*tries)
    answers.append(await client.post("/standard", content=paid(7), headers=standard(paid(7))))  # written anew
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"id":"msg_1"}')}
    assert len(await shop.jobs()) == 1
    await client.post("/standard", content=paid(), headers=standard(paid(), "msg_2"))
    assert len(await shop.jobs()) == 2


async def test_an_event_is_remembered_for_as_long_as_is_asked(
    client: httpx2.AsyncClient, shop: Shop, broker: Any
) -> None:
    await client.post("/standard", content=paid(), headers=standard(paid()))
    await client.post("/public", content=paid(), headers=standard(paid(), secret=PRIVATE))
    lives = sorted(broker.pttl(key) / 86_400_000 for key in broker.keys("celeriac:idempotency:*"))
    assert [round(days) for days in lives] == [7, 30]
    assert len(await shop.jobs()) == 2  # two senders may happen to choose one id: each path has ids of its own


async def test_each_style_is_proven_and_read(client: httpx2.AsyncClient, shop: Shop) -> None:
    event = b'{"id": "evt_1", "type": "charge.succeeded", "big": 123456789012345678901234567890}'
    for path, body, headers in (
        ("/public", paid(), standard(paid(), secret=PRIVATE)),
        ("/public", paid(), standard(paid(), "msg_new", secret=NEW)),
        ("/stripe", event, stripe(event)),
        ("/github", b'{"ref": "main"}', github(b'{"ref": "main"}')),
    ):
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code == 202, answer.text
    assert [(each["id"], each["type"]) for each in await shop.jobs()] == [
        ("msg_1", "order.paid"),
        ("msg_new", "order.paid"),
        ("evt_1", "charge.succeeded"),
        ("d-1", "push"),
    ]
    assert (await shop.jobs())[2]["payload"]["big"] == 123456789012345678901234567890


async def test_secrets_may_change_while_the_api_runs(client: httpx2.AsyncClient, shop: Shop) -> None:
    answers: list[int] = []
    for live, secret in (([OLD], NEW), ([NEW, OLD], NEW), ([NEW, OLD], OLD), ([NEW], OLD)):
        shop.live = live
        answers.append(
            (await client.post("/standard", content=paid(), headers=standard(paid(), secret=secret))).status_code
        )
    assert answers == [401, 202, 202, 401]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/standard", paid(), {}),
        ("/standard", paid(), lambda: standard(paid(), secret=NEW)),
        ("/standard", paid(), lambda: standard(paid(1))),
        ("/standard", paid(), lambda: standard(paid(), at=-301)),
        ("/standard", paid(), lambda: standard(paid(), at=302)),
        ("/standard", paid(), lambda: {**standard(paid()), "webhook-id": "msg_2"}),
        ("/standard", b"no json", {}),
        ("/stripe", b"{}", {}),
        ("/stripe", b"{}", {"Stripe-Signature": "nonsense"}),
        ("/stripe", b"{}", {"Stripe-Signature": "t=1,t=2,v1=00"}),
        ("/stripe", b"{}", {"Stripe-Signature": "t=soon,v1=00"}),
        ("/stripe", b"{}", lambda: stripe(b"{}", "wrong")),
        ("/stripe", b"{}", lambda: stripe(b"{ }")),
        ("/stripe", b"{}", lambda: stripe(b"{}", at=-301)),
        ("/stripe", b"{}", lambda: {"Stripe-Signature": stripe(b"{}")["Stripe-Signature"].replace("v1=", "v0=")}),
        ("/github", b"{}", {}),
        ("/github", b"{}", lambda: {"X-Hub-Signature": "sha1=00", "X-GitHub-Delivery": "d-1"}),
        ("/github", b"{}", lambda: {"X-Hub-Signature-256": f"sha512={digest(b'{}')}"}),
        ("/github", b"{}", lambda: github(b"{}", secret="wrong")),
        ("/github", b"{ }", lambda: github(b"{}")),
    ],
)
async def test_what_is_not_proven_is_told_only_that(
    client: httpx2.AsyncClient, shop: Shop, path: str, body: bytes, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    given = headers() if callable(headers) else headers
    answer = await client.post(path, content=body, headers=given)
    assert (answer.status_code, answer.json()) == (401, {"detail": "the signature of the webhook is not valid"})
    assert answer.headers["www-authenticate"] == "Signature"
    assert await shop.jobs() == []
    assert any("is not proven to be from its sender" in record.message for record in caplog.records)
    assert not any(secret in caplog.text for secret in (OLD, NEW, OTHERS))


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/standard", b"no json", standard, 400),
        ("/standard", b"\xff", standard, 400),
        ("/standard", b"[" * 1500, standard, 400),
        ("/standard", b"", standard, 400),
        ("/standard", paid("many"), standard, 422),
        ("/standard", b"[]", standard, 422),
        ("/standard", b'{"type": "\\ud800", "cents": 1}', standard, 422),
        ("/stripe", b'{"type": "no id"}', stripe, 400),
        ("/stripe", b'{"id": 7}', stripe, 400),
        ("/stripe", b'{"id": ""}', stripe, 400),
        ("/stripe", b'["id"]', stripe, 400),
        ("/stripe", b'{"id": "%b"}' % (b"x" * 257), stripe, 400),
        ("/github", b"{}", lambda body: {**github(body), "X-GitHub-Delivery": ""}, 400),
    ],
)
async def test_what_is_proven_and_yet_no_event_is_refused(
    client: httpx2.AsyncClient, shop: Shop, path: str, body: bytes, headers: Any, status: int
) -> None:
    answer = await client.post(path, content=body, headers=headers(body))
    assert answer.status_code == status, answer.text
    assert await shop.jobs() == []


async def test_a_body_that_is_too_large_is_refused_while_it_comes(client: httpx2.AsyncClient, shop: Shop) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(5):
            yield b"x" * 500

    announced = await client.post("/standard", content=b"x" * (MAX_BYTES + 1))
    hidden = await client.post("/standard", content=pieces())
    assert [announced.status_code, hidden.status_code] == [413, 413]
    just_fits = json.dumps({"type": "order.paid", "cents": 1}).encode().ljust(MAX_BYTES)
    fits = await client.post("/standard", content=just_fits, headers=standard(just_fits))
    assert fits.status_code == 202


async def test_a_body_that_comes_too_slowly_is_given_up(client: httpx2.AsyncClient) -> None:
    port = client.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_an_absent_broker_makes_the_sender_try_again(tmp_path: Path) -> None:
    nowhere = Settings(broker_url=SecretStr(f"redis://127.0.0.1:{free_port()}"), data_dir=tmp_path)
    shop = Shop(nowhere)
    with serving(shop.api) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            answer = await client.post("/standard", content=paid(), headers=standard(paid()))
    shop.app.close()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {"detail": "the event cannot be stored now; send it again"}


async def test_what_cannot_receive_is_refused_at_the_start(shop: Shop) -> None:
    async def takes_two(event: IncomingEvent[Any], order: int) -> None: ...
    async def takes_text(event: str) -> None: ...
    async def takes_nothing() -> None: ...

    for function in (takes_two, takes_text, takes_nothing):
        with pytest.raises(ConfigurationError, match="IncomingEvent"):
            receive(shop.app.job(name=function.__name__)(function), secrets=OLD)
    with pytest.raises(ConfigurationError, match="standard, stripe, github"):
        receive(shop.on_any, secrets=OLD, style="svix")  # pyright: ignore[reportArgumentType]
    for secret, style in (("word", "standard"), (PRIVATE, "standard"), ("", "stripe"), ("", "github")):
        with pytest.raises(SecretInvalid):
            receive(shop.on_any, secrets=[secret], style=style)  # pyright: ignore[reportArgumentType]
