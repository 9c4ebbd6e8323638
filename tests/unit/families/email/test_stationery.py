"""What the settings put on each mail."""

from __future__ import annotations

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.families.email import EmailSettings
from celeriac.families.email.model import Mailing
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.stationery import UNSUBSCRIBE_URL, Stationery, stationery
from celeriac.families.email.tokens import Purpose
from celeriac.settings import read

MAILING = "3f0e7a52-7c1b-4c39-9a7e-2f6f8a4b1c5d"
SECRETS = "0123456789abcdef,fedcba9876543210"
PUBLIC = "https://api.example.com/email"


def made(**settings: str) -> Stationery:
    return stationery(read(EmailSettings, mail_secrets=SECRETS, **settings))


def test_each_mail_has_a_link_of_one_click_and_the_variable_is_that_link() -> None:
    paper = made(mail_public_url=f"{PUBLIC}/", mail_unsubscribe_address="leave@example.com")
    url = paper.variables(MAILING, 7)[UNSUBSCRIBE_URL]
    prefix, _, token = url.rpartition("/")
    assert prefix == f"{PUBLIC}/unsubscribe"
    assert paper.tokens is not None
    assert paper.tokens.read(Purpose.UNSUBSCRIBE, token) == (MAILING, 7)
    assert paper.unsubscribe_headers(MAILING, 7).decode() == (
        f"List-Unsubscribe: <{url}>,\r\n <mailto:leave+{token}@example.com?subject=unsubscribe>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    )


def test_the_return_path_fits_the_local_part() -> None:
    path = made(mail_bounce_address="bounces-of-shop@example.com").return_path(MAILING, 2**32 - 1)
    assert path is not None
    assert len(path.rpartition("@")[0]) == 64


def test_without_settings_mails_have_none_of_it() -> None:
    paper = stationery(read(EmailSettings))
    assert paper.variables(MAILING, 1) == {} == dict(paper.example)
    assert (paper.unsubscribe_headers(MAILING, 1), paper.return_path(MAILING, 1)) == (b"", None)


def test_what_the_mailing_itself_says_goes_first() -> None:
    paper = made(mail_public_url=PUBLIC)
    mailing = Mailing(id=MAILING, sender="News <a@example.com>", subject="s", text="t", list_name="news")
    headers = Outgoing(mailing, stationery=paper).headers(1)
    assert headers.startswith(b"List-Id: <news.example.com>\r\nList-Unsubscribe: <https://")
    own = Mailing(id=MAILING, sender="a@example.com", subject="s", text="t", list_unsubscribe="<mailto:x@example.com>")
    assert Outgoing(own, stationery=paper).headers(1) == b""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mail_public_url": PUBLIC}, "CELERIAC_MAIL_PUBLIC_URL needs CELERIAC_MAIL_SECRETS"),
        ({"mail_bounce_address": "b@example.com"}, "CELERIAC_MAIL_BOUNCE_ADDRESS needs CELERIAC_MAIL_SECRETS"),
        ({"mail_secrets": "short"}, "CELERIAC_MAIL_SECRETS=***: each secret needs at least 16 characters"),
        ({"mail_secrets": SECRETS, "mail_public_url": "http://example.com"}, "expected https://host/path"),
        ({"mail_secrets": SECRETS, "mail_public_url": "https://example.com/?a=1"}, "expected https://host/path"),
        ({"mail_secrets": SECRETS, "mail_public_url": "https://example.com/<a>"}, "ASCII characters"),
        ({"mail_secrets": SECRETS, "mail_bounce_address": "much-too-long-for-it@example.com"}, "1 to 15 letters"),
        ({"mail_secrets": SECRETS, "mail_bounce_address": "a+b@example.com"}, "expected local@domain"),
        ({"mail_complaint_rate": "2"}, "CELERIAC_MAIL_COMPLAINT_RATE=2"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(EmailSettings, **settings)
    assert message in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_a_page_on_this_machine_needs_no_tls() -> None:
    assert read(EmailSettings, mail_secrets=SECRETS, mail_public_url="http://127.0.0.1:8000/email").mail_public_url
