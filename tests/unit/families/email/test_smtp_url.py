"""How a mail server is configured."""

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.families.email.smtp_url import SmtpServer, parse_smtp_url


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail", SmtpServer(host="mail", port=25)),
        ("smtp://mail:2525/", SmtpServer(host="mail", port=2525)),
        ("smtp://mail?starttls=true", SmtpServer(host="mail", port=587, starttls=True)),
        ("smtp://mail?starttls=false", SmtpServer(host="mail", port=25, starttls=False)),
        ("smtps://mail", SmtpServer(host="mail", port=465, tls=True, starttls=False)),
        ("smtp://mail?verify=false&timeout=2.5", SmtpServer(host="mail", port=25, verify=False, timeout=2.5)),
        ("smtp://[::1]:25", SmtpServer(host="::1", port=25)),
        (
            "smtps://us%40er:p%2Fw%20@mail",
            SmtpServer(host="mail", port=465, username="us@er", password="p/w ", tls=True, starttls=False),
        ),
    ],
)
def test_a_url_says_all_there_is(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


def test_a_password_goes_to_another_machine_only_through_tls() -> None:
    assert parse_smtp_url("smtp://app:pw@mail").starttls is True
    assert parse_smtp_url("smtp://app:pw@127.0.0.1").starttls is None
    assert parse_smtp_url("smtp://app:pw@mail?starttls=false").starttls is False


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://app:geheim@mail", "must start with smtp:// or smtps://"),
        ("smtp://app:geheim@", "names no host"),
        ("smtp://app:geheim@mail:mail", "port must be a number"),
        ("smtp://app:geheim@mail:99999", "port must be a number"),
        ("smtp://app:geheim@mail/inbox", "path '/inbox'"),
        ("smtp://app:geheim@mail?starttls=yes", "starttls=yes; expected starttls=true or starttls=false"),
        ("smtp://app:geheim@mail?tls=true", "unknown option 'tls'; known: starttls, verify, timeout"),
        ("smtp://app:geheim@mail?timeout=soon", "timeout=soon; expected seconds"),
        ("smtp://app:geheim@mail?timeout=0", "timeout=0; expected seconds"),
        ("smtps://app:geheim@mail?starttls=true", "starttls= makes no sense"),
    ],
)
def test_nonsense_is_named_without_the_password(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_smtp_url(url)
    assert message in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    server = parse_smtp_url("smtp://app:geheim@mail")
    assert "geheim" not in repr(server) + str(server)
