"""What each provider posts: whether it is genuine, and what it says. Signatures are made with real keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.errors import ConfigurationError
from celeriac.families.email import EmailSettings
from celeriac.families.email.inbound.model import Kind, Place
from celeriac.families.email.inbound.providers.base import NotGenuine, NotUnderstood, Provider
from celeriac.families.email.inbound.providers.mailgun import Mailgun
from celeriac.families.email.inbound.providers.postmark import Postmark
from celeriac.families.email.inbound.providers.sendgrid import SendGrid
from celeriac.families.email.inbound.providers.ses import Ses
from celeriac.families.email.inbound.providers.signed import SignedEvents
from celeriac.families.email.inbound.sources import providers
from celeriac.settings import read

MAILING = "3f0e7a52-7c1b-4c39-9a7e-2f6f8a4b1c5d"
OURS = f"<7.{MAILING}@example.com>"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(EC_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
BASIC = "shop:0123456789abcdef"


def now(shift: float = 0) -> str:
    return str(int(time.time() + shift))


def standard(body: bytes, *, secret: bytes = b"0123456789abcdef", at: str | None = None) -> dict[str, str]:
    at = at or now()
    signature = base64.b64encode(hmac.digest(secret, b"msg_1." + at.encode() + b"." + body, hashlib.sha256)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,AAAA v1a,BBBB v1,{signature}"}


def sendgrid(body: bytes, *, at: str | None = None) -> dict[str, str]:
    at = at or now()
    signature = base64.b64encode(EC_KEY.sign(at.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": at,
    }


def mailgun(event: Mapping[str, Any], *, key: bytes = b"key", at: str | None = None) -> bytes:
    at = at or now()
    signature = hmac.new(key, f"{at}token".encode(), hashlib.sha256).hexdigest()
    return json.dumps(
        {"signature": {"timestamp": at, "token": "token", "signature": signature}, "event-data": event}
    ).encode()


async def refused(provider: Provider, headers: dict[str, str], body: bytes) -> str:
    with pytest.raises(NotGenuine) as caught:
        await provider.check(headers, body)
    return str(caught.value)


async def test_signed_events_are_genuine_under_each_of_the_secrets() -> None:
    body = b'{"events": []}'
    encoded = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
    for secrets in (["0123456789abcdef"], [encoded], ["another secret!!", encoded]):
        await SignedEvents(secrets).check(standard(body), body)
    provider = SignedEvents(["0123456789abcdef"])
    assert "no signature" in await refused(provider, standard(body), body + b" ")
    assert "no signature" in await refused(provider, standard(body, secret=b"another"), body)
    for at in (now(-301), now(301), "soon", "nan"):
        assert "5 minutes" in await refused(provider, standard(body, at=at), body)
    assert "missing" in await refused(provider, {}, body)


def test_signed_events_name_a_mail_of_ours_or_an_address() -> None:
    events = [
        {"id": "1", "kind": "hard_bounce", "message_id": OURS, "status": "5.1.1", "diagnostic": "no"},
        {"id": "2", "kind": "complaint", "email": "ada@Example.net"},
    ]
    bounce, complaint = SignedEvents(["0123456789abcdef"]).read(json.dumps({"events": events}).encode())
    assert (bounce.kind, bounce.place, bounce.said) == (Kind.HARD_BOUNCE, Place(MAILING, 7), "5.1.1 no")
    assert (complaint.kind, complaint.address) == (Kind.COMPLAINT, "ada@example.net")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "a list of events is missing"),
        ({"events": [{"id": "1", "kind": "x"}]}, "events.0.kind is none of hard_bounce"),
        ({"events": [{"kind": "complaint", "email": "a@example.com"}]}, "events.0.id is missing"),
        ({"events": [{"id": "1", "kind": "complaint"}]}, "events.0 has neither"),
        ({"events": [{"id": "1", "kind": "complaint", "email": "nobody"}]}, "events.0.email"),
    ],
)
def test_what_is_wrong_with_signed_events_is_named(body: dict[str, Any], fault: str) -> None:
    with pytest.raises(NotUnderstood, match=fault):
        SignedEvents(["0123456789abcdef"]).read(json.dumps(body).encode())


async def test_sendgrid_signs_with_its_own_key() -> None:
    body, provider = b"[]", SendGrid(PUBLIC)
    await provider.check(sendgrid(body), body)
    assert "wrong" in await refused(provider, sendgrid(body), b"[ ]")
    assert "wrong" in await refused(provider, {}, body)
    assert "5 minutes" in await refused(provider, sendgrid(body, at=now(-400)), body)
    garbled = {**sendgrid(body), "x-twilio-email-event-webhook-signature": "%%"}
    assert "wrong" in await refused(provider, garbled, body)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 unknown"}, Kind.HARD_BOUNCE),
        ({"event": "bounce", "type": "bounce", "status": "5.2.2", "reason": "full"}, Kind.SOFT_BOUNCE),
        ({"event": "bounce", "type": "bounce", "reason": "no route"}, Kind.HARD_BOUNCE),
        ({"event": "bounce", "type": "blocked", "reason": "550 5.1.1"}, Kind.SOFT_BOUNCE),
        ({"event": "dropped", "reason": "Bounced Address"}, Kind.HARD_BOUNCE),
        ({"event": "spamreport"}, Kind.COMPLAINT),
        ({"event": "group_unsubscribe"}, Kind.UNSUBSCRIBE),
        *(({"event": name}, None) for name in ("delivered", "deferred", "open", "click", "new")),
    ],
)
def test_what_sendgrid_says(event: dict[str, str], kind: Kind | None) -> None:
    given = {"email": "ada@example.net", "sg_event_id": "e1", "smtp-id": OURS, **event}
    found = SendGrid(PUBLIC).read(json.dumps([given, "nonsense"]).encode())
    assert [one.kind for one in found] == [kind] * (kind is not None)
    assert all((one.event, one.message_id, one.address) == ("e1", OURS, "ada@example.net") for one in found)


async def test_mailgun_signs_a_time_and_a_token() -> None:
    provider = Mailgun("key")
    await provider.check({}, mailgun({}))
    assert "wrong" in await refused(provider, {}, mailgun({}, key=b"other"))
    assert "5 minutes" in await refused(provider, {}, mailgun({}, at=now(-400)))
    assert await refused(provider, {}, b"{}")
    assert "no signature" in await refused(provider, {}, b"\xff")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"event": "failed", "severity": "permanent", "delivery-status": {"enhanced-code": "5.1.1"}}, Kind.HARD_BOUNCE),
        ({"event": "failed", "severity": "permanent", "delivery-status": {"message": "5.7.1 no"}}, Kind.SOFT_BOUNCE),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-bounce"}, Kind.HARD_BOUNCE),
        ({"event": "failed", "severity": "permanent", "reason": "old"}, Kind.SOFT_BOUNCE),
        ({"event": "failed", "severity": "temporary", "delivery-status": {"enhanced-code": "5.1.1"}}, None),
        ({"event": "complained"}, Kind.COMPLAINT),
        ({"event": "unsubscribed"}, Kind.UNSUBSCRIBE),
        ({"event": "delivered"}, None),
    ],
)
def test_what_mailgun_says(event: dict[str, Any], kind: Kind | None) -> None:
    headers = {"headers": {"message-id": OURS.strip("<>")}}
    found = Mailgun("key").read(mailgun({"id": "e1", "recipient": "ada@example.net", "message": headers, **event}))
    assert [one.kind for one in found] == [kind] * (kind is not None)


async def test_postmark_gives_a_user_and_a_password() -> None:
    provider = Postmark(BASIC)
    await provider.check({"authorization": "Basic " + base64.b64encode(BASIC.encode()).decode()}, b"")
    assert await refused(provider, {"authorization": "Basic " + base64.b64encode(b"shop:").decode()}, b"")
    assert await refused(provider, {}, b"")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"RecordType": "Bounce", "Type": "HardBounce"}, Kind.HARD_BOUNCE),
        ({"RecordType": "Bounce", "Type": "SoftBounce"}, Kind.SOFT_BOUNCE),
        ({"RecordType": "Bounce", "Type": "Transient"}, None),
        ({"RecordType": "SpamComplaint", "Type": "SpamComplaint"}, Kind.COMPLAINT),
        ({"RecordType": "Delivery"}, None),
    ],
)
def test_what_postmark_says(event: dict[str, str], kind: Kind | None) -> None:
    given = {"ID": 42, "Email": "ada@example.net", "Details": "550 5.1.1 no", **event}
    found = Postmark(BASIC).read(json.dumps(given).encode())
    assert [(one.kind, one.event, one.status) for one in found] == [(kind, "42", "5.1.1")] * (kind is not None)


def ses(told: Any) -> bytes:
    return json.dumps({"Type": "Notification", "Message": json.dumps(told)}).encode()


@pytest.mark.parametrize(
    ("kind", "sub", "status", "read_as"),
    [
        ("Permanent", "General", "5.1.1", Kind.HARD_BOUNCE),
        ("Permanent", "General", "5.2.2", Kind.SOFT_BOUNCE),
        ("Permanent", "General", "5.0.0", Kind.HARD_BOUNCE),
        ("Permanent", "NoEmail", "", Kind.HARD_BOUNCE),
        ("Permanent", "Other", "", Kind.SOFT_BOUNCE),
        ("Transient", "MailboxFull", "5.1.1", Kind.SOFT_BOUNCE),
    ],
)
def test_what_ses_says_of_bounces(kind: str, sub: str, status: str, read_as: Kind) -> None:
    recipients = [{"emailAddress": "ada@example.net", "status": status}, {"emailAddress": "bob@example.net"}]
    bounce = {"bounceType": kind, "bounceSubType": sub, "bouncedRecipients": recipients, "feedbackId": "f1"}
    mail = {"headers": [{"name": "Message-ID", "value": OURS}], "commonHeaders": {"messageId": "<amazon@ses>"}}
    found = Ses("arn", None).read(ses({"notificationType": "Bounce", "bounce": bounce, "mail": mail}))
    assert found[0].kind is read_as
    assert [one.event for one in found] == ["f1/ada@example.net", "f1/bob@example.net"]
    assert found[0].message_id == OURS


def test_what_ses_says_of_complaints() -> None:
    def read_as(**complaint: str) -> list[Kind]:
        given = {"complainedRecipients": [{"emailAddress": "a@example.net"}], "feedbackId": "f", **complaint}
        return [one.kind for one in Ses("arn", None).read(ses({"eventType": "Complaint", "complaint": given}))]

    assert read_as() == [Kind.COMPLAINT]
    assert read_as(complaintFeedbackType="not-spam") == []
    assert Ses("arn", None).read(ses({"eventType": "Delivery"})) == []
    assert Ses("arn", None).read(b'{"Type": "Notification", "Message": "a test"}') == []


# Half a character, as JSON may have it (`"\\ud800"`), and the one that Postgres does not store, too.
ANY_TEXT = st.text(st.characters(exclude_categories=[]))
JSON = st.recursive(st.none() | st.booleans() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["event", "events", "signature", "event-data", "bounce", "mail", "Message", "Type", "RecordType", "notificationType"]) | st.text(max_size=3), inner))  # noqa: E501  # fmt: skip


@given(JSON)
@pytest.mark.slow
async def test_json_of_any_form_is_read_or_refused(value: Any) -> None:
    body = json.dumps(value).encode()
    for provider in (
        SignedEvents(["0123456789abcdef"]),
        SendGrid(PUBLIC),
        Mailgun("key"),
        Postmark(BASIC),
        Ses("arn", None),
    ):
        await refused(provider, {}, body)
        try:
            provider.read(body)
        except NotUnderstood as error:
            assert str(error)


HALF = "\ud800 and \0"


def odd_events() -> list[tuple[Provider, bytes]]:
    """An event of each provider with what no database stores, wherever strangers may have written it."""
    ses_mail = {"headers": [{"name": "Message-ID", "value": HALF}], "source": HALF}
    bounced = [{"emailAddress": f"a{HALF}@example.net", "status": HALF, "diagnosticCode": HALF}]
    ses_bounce = {"bounceType": "Permanent", "bouncedRecipients": bounced, "feedbackId": HALF}
    odd = {"email": f"a{HALF}@example.net", "smtp-id": HALF, "sg_event_id": HALF, "reason": HALF, "status": HALF}
    gun = {"event": "complained", "id": HALF, "recipient": HALF, "message": {"headers": {"message-id": HALF}}}
    mark = {"RecordType": "SpamComplaint", "ID": HALF, "Email": HALF, "Details": HALF}
    return [
        (SendGrid(PUBLIC), json.dumps([{"event": "bounce", **odd}]).encode()),
        (Mailgun("key"), mailgun(gun)),
        (Postmark(BASIC), json.dumps(mark).encode()),
        (Ses("arn", None), ses({"notificationType": "Bounce", "bounce": ses_bounce, "mail": ses_mail})),
    ]


def test_what_no_database_stores_is_left_out() -> None:
    for provider, body in odd_events():
        (feedback,) = provider.read(body)
        assert feedback.address is None
        for text in (feedback.event, feedback.message_id or "", feedback.said, feedback.key):
            assert b"\0" not in text.encode()


async def test_a_signature_with_half_a_character_is_wrong() -> None:
    signature = {"timestamp": now(), "token": HALF, "signature": HALF}
    assert "wrong" in await refused(Mailgun("key"), {}, json.dumps({"signature": signature}).encode())


def test_addresses_of_providers_are_those_of_the_ledger() -> None:
    """A suppressed address is looked up in its normal form: not in Punycode, and without spaces around it."""
    event = {"event": "spamreport", "sg_event_id": "1", "email": " Ada@XN--BCHER-KVA.example.com "}
    (feedback,) = SendGrid(PUBLIC).read(json.dumps([event]).encode())
    assert feedback.address == "Ada@bücher.example.com"


def test_events_without_a_name_count_each_for_itself() -> None:
    events = [{"event": "spamreport", "email": f"{name}@example.net"} for name in ("ada", "bob", "ada")]
    ada, bob, again = SendGrid(PUBLIC).read(json.dumps(events).encode())
    assert ada.key == again.key != bob.key


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 100_000, b"nope"])
def test_what_is_no_json_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        Postmark(BASIC).read(body)


def test_each_setting_makes_its_provider_and_a_wrong_key_stops_the_start() -> None:
    settings = read(
        EmailSettings,
        mail_webhook_secrets="0123456789abcdef",
        mail_sendgrid_key=PUBLIC,
        mail_mailgun_key="key",
        mail_postmark_auth=BASIC,
        mail_ses_topic="arn:aws:sns:eu-west-1:123456789012:bounces",
    )
    assert sorted(providers(settings, None)) == ["events", "mailgun", "postmark", "sendgrid", "ses"]
    assert providers(read(EmailSettings), None) == {}
    with pytest.raises(ConfigurationError, match="CELERIAC_MAIL_SENDGRID_KEY: expected the public key"):
        providers(read(EmailSettings, mail_sendgrid_key="AAAA"), None)
    for wrong in ({"mail_ses_topic": "bounces"}, {"mail_postmark_auth": "shop:short"}):
        with pytest.raises(ConfigurationError):
            read(EmailSettings, **wrong)
