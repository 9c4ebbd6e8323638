"""What each mail has beside its templates, as it arrives at a real mail server."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
from contextlib import nullcontext

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.message import ATTACHED_END, attachment_head
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import Attached, Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from celeriac.families.email.stationery import Stationery, stationery
from celeriac.families.email.tokens import Purpose
from celeriac.settings import read
from tests.support.mailings import EVERY_POSITION, stored_mailing

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PAPER = stationery(
    read(
        EmailSettings,
        mail_secrets="0123456789abcdef",
        mail_public_url="https://api.example.com/email",
        mail_bounce_address="bounces@example.org",
    )
)


async def test_each_recipient_has_a_link_and_a_return_path_of_its_own(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 2, text="{{ name }}: {{ unsubscribe_url }}", list_name="news")
    async with SmtpSession(parse_smtp_url(sink.url)) as session:
        outgoing = Outgoing(mailing, stationery=PAPER)
        assert (await send_chunk(ledger, mailing, *EVERY_POSITION, session, Sending(outgoing=outgoing))).sent == 2
    tokens = PAPER.tokens
    assert tokens is not None
    for position, delivery in enumerate(sink.deliveries, start=2):
        local, _, domain = delivery.sender.rpartition("@")
        assert domain == "example.org"
        assert tokens.read(Purpose.BOUNCE, local.removeprefix("bounces+")) == (mailing.id, position)
        message = email.message_from_bytes(delivery.content, policy=email.policy.default)
        url = PAPER.variables(mailing.id, position)["unsubscribe_url"]
        assert message["List-Unsubscribe"] == f"<{url}>"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert message["List-Id"] == "<news.example.com>"
        assert message["From"] == "News <news@example.com>"
        assert url in message.get_content()
        assert "bounces+" not in delivery.content.decode(), "the return path is the envelope's"


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stationery, dict[bytes, bytes]]:
    """Paper that signs with a key of each kind, and the records of the DNS for them."""
    folder = tmp_path_factory.mktemp("keys")
    keys = {"r1": rsa.generate_private_key(65537, 2048), "e1": ed25519.Ed25519PrivateKey.generate()}
    records = dict[bytes, bytes]()
    for name, key in keys.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(pem)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            public, kind = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), b"ed25519"
        else:
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            kind = b"rsa"
        place = f"{name}._domainkey.example.com.".encode()
        records[place] = b"v=DKIM1; k=" + kind + b"; p=" + base64.b64encode(public)
    settings = read(
        EmailSettings,
        mail_secrets="0123456789abcdef",
        mail_public_url="https://api.example.com/email",
        mail_dkim_keys=f"r1={folder / 'r1.pem'},e1={folder / 'e1.pem'}",
    )
    return stationery(settings), records


@pytest.mark.parametrize("attached", [b"", attachment_head("a b.txt", "text/plain") + b"SGVsbG8=\r\n" + ATTACHED_END])
async def test_what_arrives_has_a_valid_signature_of_each_key(
    ledger: Ledger, sink: MailSink, signing: tuple[Stationery, dict[bytes, bytes]], attached: bytes
) -> None:
    paper, records = signing
    files = [{"name": "a b.txt"}] if attached else None
    mailing = await stored_mailing(ledger, 2, text=".{{ name }}  \n\n.\n\n\n", html="<p>{{ name }}", attachments=files)
    async with SmtpSession(parse_smtp_url(sink.url)) as session:
        how = Sending(outgoing=Outgoing(mailing, stationery=paper), attached=Attached(attached, nullcontext()))
        assert (await send_chunk(ledger, mailing, *EVERY_POSITION, session, how)).sent == 2
    assert sink.connections == 1, "the size that was said ahead is that of the signed message"
    for delivery in sink.deliveries:
        assert delivery.content.endswith(attached)
        assert delivery.content.count(b"DKIM-Signature:") == 2
        for index in range(2):
            assert verifies(delivery.content, records, index)
            assert not verifies(delivery.content.replace(b"<p>", b"<b>"), records, index)
            assert not verifies(delivery.content.replace(b"One-Click", b"Two-Click"), records, index)
            assert not verifies(b"From: ceo@example.com\r\n" + delivery.content, records, index)


def verifies(content: bytes, records: dict[bytes, bytes], index: int) -> bool:
    message = dkim.DKIM(content)
    name, value = [header for header in message.headers if header[0].lower() == b"dkim-signature"][index]
    tags = dkim.parse_tag_value(value)
    if tags[b"a"] == b"rsa-sha256":
        try:
            return message.verify(index, dnsfunc=lambda name, timeout=5: records[name])
        except dkim.ValidationError:
            return False
    # For Ed25519, dkimpy needs another package: its canonical forms, and another's verification.
    policy = dkim.CanonicalizationPolicy.from_c_value(tags[b"c"])
    body_hash = hashlib.sha256(policy.canonicalize_body(message.body)).digest()
    included, hashed = b"".join(tags[b"h"].split()).lower().split(b":"), hashlib.sha256()
    dkim.hash_headers(hashed, policy, policy.canonicalize_headers(message.headers), included, (name, value), tags)
    record = records[tags[b"s"] + b"._domainkey." + tags[b"d"] + b"."]
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(record.partition(b"p=")[2]))
    try:
        public.verify(base64.b64decode(b"".join(tags[b"b"].split())), hashed.digest())
    except InvalidSignature:
        return False
    return base64.b64decode(tags[b"bh"]) == body_hash
