"""The bytes of a message, as they are sent."""

import pytest

from celeriac.families.email.envelope import Envelope, commands, stuffed
from celeriac.families.email.greeting import Extensions, NotOffered, Refused

NOTHING = Extensions(frozenset(), 0, frozenset())


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"Hi\r\n", b"Hi\r\n.\r\n"),
        (b"Hi", b"Hi\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n.b\r\n", b"a\r\n..\r\n..b\r\n.\r\n"),
        # Ends that some servers see and others do not ("SMTP smuggling")
        (b"a\n.\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r.\rMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\n.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r\n.\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
    ],
)
def test_a_message_ends_where_it_ends(message: bytes, sent: bytes) -> None:
    assert stuffed(message) == sent


def said(envelope: Envelope, *names: str, size: int = 0, reset: bool = False) -> list[bytes]:
    return [line for _, line in commands(envelope, Extensions(frozenset(names), size, frozenset()), reset=reset)]


def test_the_commands_use_what_the_server_offers() -> None:
    plain = Envelope("a@example.com", "b@example.com", 100)
    assert said(plain) == [b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.com>\r\n", b"DATA\r\n"]
    assert said(plain, "SIZE", size=100)[0] == b"MAIL FROM:<a@example.com> SIZE=100\r\n"
    assert said(plain, reset=True)[0] == b"RSET\r\n"
    wide = Envelope("a@example.com", "jörg@example.com", 100, utf8=True)
    assert said(wide, "SMTPUTF8", "8BITMIME")[:2] == [
        b"MAIL FROM:<a@example.com> BODY=8BITMIME SMTPUTF8\r\n",
        "RCPT TO:<jörg@example.com>\r\n".encode(),
    ]


def test_what_a_server_cannot_take_is_said_before_it_is_asked() -> None:
    with pytest.raises(NotOffered, match="SMTPUTF8"):
        commands(Envelope("a@example.com", "jörg@example.com", 1, utf8=True), NOTHING, reset=False)
    with pytest.raises(Refused, match=r"552 5\.3\.4 the message has 101 octets, and the server takes 100"):
        said(Envelope("a@example.com", "b@example.com", 101), "SIZE", size=100)
