"""Bounces from Amazon SES, which Amazon SNS signs, beside a server of our own that is Amazon's."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from celeriac.database.engine import Database
from celeriac.families.email.inbound.api import add_provider_routes
from celeriac.families.email.inbound.model import Kind
from celeriac.families.email.inbound.providers.base import NotGenuine, NotNow
from celeriac.families.email.inbound.providers.ses import Ses
from celeriac.families.email.inbound.providers.sns import AmazonPages
from celeriac.families.email.inbound.store import ComplaintLimit, FeedbackStore
from celeriac.http.route import bounded_route
from tests.support.amazon import CERTIFICATE, HOST, TOPIC, Amazon, amazon

BOUNCE = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "feedbackId": "f1",
        "bouncedRecipients": [{"emailAddress": "ada@example.net", "status": "5.1.1"}],
    },
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Amazon]:
    with amazon(tmp_path_factory.mktemp("amazon")) as server:
        yield server


@pytest.fixture
def sns(served: Amazon) -> Amazon:
    served.asked.clear()
    served.pages = {CERTIFICATE: served.pages[CERTIFICATE], "/": b"<ConfirmSubscriptionResponse/>"}
    return served


def ses(sns: Amazon) -> Ses:
    return Ses(TOPIC, None, AmazonPages(sns.port, "127.0.0.1", sns.trust))


async def refused(provider: Ses, message: Any) -> str:
    with pytest.raises(NotGenuine) as caught:
        await provider.check({}, json.dumps(message).encode())
    return str(caught.value)


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_signed_bounce_is_genuine_and_its_certificate_is_fetched_once(sns: Amazon, version: str) -> None:
    provider = ses(sns)
    body = json.dumps(sns.message(BOUNCE, version=version, Subject="Amazon SES")).encode()
    await provider.check({}, body)
    await provider.check({}, body)
    assert sns.asked == [f"{HOST} {CERTIFICATE}" if sns.port == 443 else f"{HOST}:{sns.port} {CERTIFICATE}"]
    (bounce,) = provider.read(body)
    assert (bounce.kind, bounce.address, bounce.event) == (Kind.HARD_BOUNCE, "ada@example.net", "f1/ada@example.net")


@pytest.mark.parametrize(
    "name", ["Message", "MessageId", "Subject", "Timestamp", "Type", "Signature", "SignatureVersion"]
)
async def test_a_message_that_was_changed_is_refused(sns: Amazon, name: str) -> None:
    message = sns.message(BOUNCE, Subject="Amazon SES")
    for changed in ({**message, name: "1"}, {key: value for key, value in message.items() if key != name}):
        assert await refused(ses(sns), changed) in ("its signature is wrong", "its SignatureVersion is unknown")


async def test_messages_that_come_together_share_one_certificate(sns: Amazon) -> None:
    provider = ses(sns)
    bodies = [json.dumps(sns.message(f"bounce {number}")).encode() for number in range(20)]
    await asyncio.gather(*(provider.check({}, body) for body in bodies))
    assert len(sns.asked) == 1


async def test_strangers_cannot_take_all_threads(sns: Amazon) -> None:
    """Each names another certificate, which takes its time. More than a few are told to come again."""
    going_on = threading.Event()
    names = [f"/SimpleNotificationService-{number}.pem" for number in range(9)]

    def slow(handler: BaseHTTPRequestHandler) -> None:
        going_on.wait(10)
        handler.send_error(404)

    for name in names:
        sns.pages[name] = slow
    messages = [sns.message("x", SigningCertURL=f"https://{HOST}{name}") for name in names]
    provider = ses(sns)
    checks = [asyncio.create_task(provider.check({}, json.dumps(message).encode())) for message in messages]
    for ended in itertools.islice(asyncio.as_completed(checks), 5):
        with pytest.raises(NotNow, match="too much"):
            await ended
    going_on.set()
    results = await asyncio.gather(*checks, return_exceptions=True)
    assert sum("asked now" in str(result) for result in results) == len(sns.asked) == 4


async def test_another_topic_is_refused_before_anything_is_fetched(sns: Amazon) -> None:
    message = sns.message(BOUNCE, TopicArn=TOPIC.replace("123456789012", "210987654321"))
    assert await refused(ses(sns), message) == "it is of another topic"
    assert await refused(ses(sns), [message]) == "it is of another topic"
    assert sns.asked == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}{CERTIFICATE}",
        f"https://evil.example{CERTIFICATE}",
        f"https://{HOST}.evil.example{CERTIFICATE}",
        f"https://evil.example/{HOST}{CERTIFICATE}",
        f"https://{HOST}@evil.example{CERTIFICATE}",
        f"https://user:password@{HOST}{CERTIFICATE}",
        f"https://{HOST}:8443{CERTIFICATE}",
        f"https://{HOST}\\@evil.example{CERTIFICATE}",
        f"https://{HOST}#{CERTIFICATE}",
        f"https://{HOST}/cert.txt?x=.pem",
        f"https://{HOST}{CERTIFICATE}\r\nX: y",
        "https://sns.amazonaws.com/cert.pem",
        # A bucket of S3 with the name `sns`, which somebody else owns.
        "https://sns.s3.amazonaws.com/cert.pem",
        "https://sns.s3-eu-west-1.amazonaws.com/cert.pem",
        "https://sns.s3-website-us-east-1.amazonaws.com/cert.pem",
        "https://sns.elasticbeanstalk.amazonaws.com/cert.pem",
        "https://127.0.0.1/cert.pem",
        "https://[::1",
        "file:///etc/passwd.pem",
        "",
    ],
)
async def test_a_certificate_from_elsewhere_is_not_even_asked_for(sns: Amazon, url: str) -> None:
    told = await refused(ses(sns), sns.message(BOUNCE, SigningCertURL=url))
    assert told in ("its URL is not one of Amazon SNS", "its SigningCertURL is no certificate")
    assert sns.asked == []


@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-2", "us-gov-west-1", "me-central-1"])
async def test_each_region_has_a_host(sns: Amazon, region: str) -> None:
    """The host of the region is asked: that its certificate is not of that name ends it."""
    message = sns.message(BOUNCE, host=f"sns.{region}.amazonaws.com")
    with pytest.raises(NotNow):
        await ses(sns).check({}, json.dumps(message).encode())


async def test_what_is_no_certificate_is_refused(sns: Amazon) -> None:
    sns.pages["/other.pem"] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    told = await refused(ses(sns), sns.message(BOUNCE, SigningCertURL=f"https://{HOST}/other.pem"))
    assert told == "its SigningCertURL is no certificate"


async def test_a_host_without_amazons_certificate_is_not_believed(tmp_path: Path, sns: Amazon) -> None:
    with amazon(tmp_path, name="evil.example") as other:
        provider = Ses(TOPIC, None, AmazonPages(other.port, "127.0.0.1", other.trust))
        with pytest.raises(NotNow):
            await provider.check({}, json.dumps(other.message(BOUNCE)).encode())
    provider = Ses(TOPIC, None, AmazonPages(sns.port, "127.0.0.1"))  # an authority that nobody knows
    with pytest.raises(NotNow):
        await provider.check({}, json.dumps(sns.message(BOUNCE)).encode())
    assert sns.asked == []


def redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "https://127.0.0.1/secret")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65_536)


@pytest.mark.parametrize("page", [redirect, endless, b""])
async def test_a_page_that_cannot_be_had_is_to_be_tried_again(sns: Amazon, page: Any) -> None:
    """SNS gives up a message that is answered with 4xx, and a bounce would be lost."""
    good = sns.pages[CERTIFICATE]
    sns.pages[CERTIFICATE] = page
    provider = ses(sns)
    with pytest.raises(NotNow, match="cannot be asked now"):
        await provider.check({}, json.dumps(sns.message(BOUNCE)).encode())
    assert len(sns.asked) == 1
    sns.pages[CERTIFICATE] = good
    await provider.check({}, json.dumps(sns.message(BOUNCE)).encode())


async def test_a_subscription_is_confirmed_at_amazon_only(sns: Amazon) -> None:
    body = json.dumps(sns.confirmation()).encode()
    await ses(sns).check({}, body)
    assert [asked.partition(" ")[2] for asked in sns.asked][1:] == [
        f"/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"
    ]
    assert ses(sns).read(body) == []
    sns.asked.clear()
    forged = {**sns.confirmation(), "SubscribeURL": f"https://{HOST}/?Action=ConfirmSubscription&Token=other"}
    assert await refused(ses(sns), forged) == "its signature is wrong"
    signed_elsewhere = sns.confirmation(SubscribeURL="https://evil.example/")
    assert await refused(ses(sns), signed_elsewhere) == "its URL is not one of Amazon SNS"
    assert [asked.partition(" ")[2] for asked in sns.asked] == [CERTIFICATE, CERTIFICATE]


async def test_the_end_of_a_subscription_is_not_undone(sns: Amazon) -> None:
    await ses(sns).check({}, json.dumps(sns.confirmation(Type="UnsubscribeConfirmation")).encode())
    assert len(sns.asked) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_api_has_a_message_come_again_that_cannot_be_checked_now(sns: Amazon, database: Database) -> None:
    router = APIRouter(route_class=bounded_route(1_048_576))
    add_provider_routes(router, FeedbackStore(database, ComplaintLimit(rate=0.1, floor=2)), {"ses": ses(sns)})
    api = FastAPI()
    api.include_router(router)
    genuine, certificate = json.dumps(sns.message(BOUNCE)), sns.pages.pop(CERTIFICATE)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api), base_url="http://api") as client:
        answer = await client.post("/inbound/ses", content=genuine)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:celeriac:problem:not-now")
        sns.pages[CERTIFICATE] = certificate
        assert (await client.post("/inbound/ses", content=genuine)).json() == {"events": 1, "recorded": 1}
        assert (await client.post("/inbound/ses", content=genuine)).json() == {"events": 1, "recorded": 0}
        forged = json.dumps({**sns.message(BOUNCE), "Message": "{}"})
        assert (await client.post("/inbound/ses", content=forged)).status_code == 401
