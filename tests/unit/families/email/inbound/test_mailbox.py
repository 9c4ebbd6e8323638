"""The setting that says where bounces wait."""

from __future__ import annotations

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.families.email import EmailSettings
from celeriac.families.email.inbound.mailbox import MailboxPlace, parse_mailbox_url
from celeriac.settings import read


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("pop3://u:p@host", "expected imaps://"),
        ("imaps://host/INBOX", "expected imaps://"),
        ("maildir:", "expected imaps://"),
        ("imap://u:p@mail.example.com/INBOX", "sent openly"),
        ("imaps://u:p@host/INBOX?delete=yes", "option 'delete' is unknown"),
        ("imaps://u:p@host/INBOX?timeout=soon", "number of seconds"),
        ("imaps://u:p@host/INBOX?move=B%C3%BC", "printable ASCII"),
        ("imaps://u:p@host:x/", "expected imaps://"),
    ],
)
def test_a_wrong_mailbox_is_named(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        parse_mailbox_url(url)


def test_a_mailbox_is_read_with_its_options_and_shows_no_password() -> None:
    place = parse_mailbox_url("imap://a%40b:s%3Acret@localhost/Bounces?starttls=true&move=Done&timeout=5")
    assert place == MailboxPlace(
        path="Bounces",
        host="localhost",
        port=143,
        user="a@b",
        password="s:cret",
        tls=False,
        starttls=True,
        move="Done",
        timeout=5.0,
    )
    assert "s:cret" not in f"{place} {place!r}"
    assert parse_mailbox_url("imaps://u:p@host").port == 993
    assert parse_mailbox_url("maildir:///var/mail/a%20b").path == "/var/mail/a b"


def test_a_wrong_one_stops_the_start_and_is_masked() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(EmailSettings, mail_secrets="0123456789abcdef", mail_bounce_mailbox="imap://u:hunter2@mail.example.com")
    assert "CELERIAC_MAIL_BOUNCE_MAILBOX=***" in str(caught.value)
    assert "hunter2" not in str(caught.value)
