"""Settings of bulk mail."""

from __future__ import annotations

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.families.email import EmailSettings
from celeriac.settings import read

SECRET = "0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"http://u:{SECRET}@host", "expected smtp://host:port"),
        (f"smtp://u:{SECRET}@", "expected smtp://host:port"),
        (f"smtp://u:{SECRET}@[::1", "Invalid IPv6 URL"),
        (f"smtp://u:{SECRET}@host?rat=3", "unknown option 'rat'"),
        (f"smtp://host smtp://u:{SECRET}@host?timeout=soon", "timeout=soon"),
        (f"smtp://u:{SECRET}@host:mail", "port must be a number"),
        (f"smtp://u:1/{SECRET}@host", "write / as %2F"),
        (f"smtp://u:1?{SECRET}@host", "write / as %2F"),
    ],
)
def test_a_wrong_url_is_named_and_masked(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    monkeypatch.setenv("CELERIAC_SMTP_URL", url)
    with pytest.raises(ConfigurationError) as caught:
        read(EmailSettings)
    assert str(caught.value).startswith("CELERIAC_SMTP_URL=***: ")
    assert message in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.__cause__}"


def test_the_password_is_in_no_repr() -> None:
    settings = read(EmailSettings, smtp_url=f"smtps://u:{SECRET}@host")
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAIL_FROM", "the shop", "An email address must have an @-sign"),
        ("MAIL_FROM", "Shop\r\nBcc: all@shop.example <a@shop.example>", "must not contain line breaks"),
        ("MAIL_PUBLIC_URL", f"https://u:{SECRET}@api.example.com/email", "without a user and password"),
    ],
)
def test_what_would_spoil_each_mail_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("CELERIAC_MAIL_SECRETS", SECRET)
    monkeypatch.setenv(f"CELERIAC_{name}", value)
    with pytest.raises(ConfigurationError, match=f"^CELERIAC_{name}=(?s:.*){said}"):
        read(EmailSettings)
