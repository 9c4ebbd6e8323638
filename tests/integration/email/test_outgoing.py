"""What each mail has beside its templates, as it arrives at a real mail server."""

from __future__ import annotations

import email
import email.policy

import pytest

from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from celeriac.families.email.stationery import stationery
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
