"""The commands and the content of one message to one recipient, as bytes (RFC 5321). No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from celeriac.families.email.greeting import Extensions, NotOffered, Refused
from celeriac.families.email.replies import Stage
from celeriac.families.email.wire import Reply

_TOO_BIG = 552


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender and recipient of a message, in their wire forms. `size` is the message's, in octets.

    `utf8`: the recipient's address needs SMTPUTF8 (RFC 6531).
    """

    sender: str
    recipient: str
    size: int
    utf8: bool = False


def commands(envelope: Envelope, offered: Extensions, *, reset: bool) -> list[tuple[Stage, bytes]]:
    """Return the commands that precede the message. With `reset`, one that ends the transaction before comes first.

    Raises:
        NotOffered: the server takes no internationalised address.
        Refused: the message is larger than the server takes (RFC 1870).
    """
    names = offered.names
    if envelope.utf8 and "SMTPUTF8" not in names:
        raise NotOffered("the mail server takes no internationalised addresses (SMTPUTF8)")
    if 0 < offered.size < envelope.size:
        text = f"5.3.4 the message has {envelope.size:,} octets, and the server takes {offered.size:,} (SIZE)"
        raise Refused(Stage.MAIL, Reply(_TOO_BIG, (text,)))
    options = f" SIZE={envelope.size}" if "SIZE" in names else ""
    if envelope.utf8:
        options += " BODY=8BITMIME SMTPUTF8" if "8BITMIME" in names else " SMTPUTF8"
    return [
        *([(Stage.RSET, b"RSET\r\n")] if reset else []),
        (Stage.MAIL, f"MAIL FROM:<{_path(envelope.sender)}>{options}\r\n".encode()),
        (Stage.RCPT, f"RCPT TO:<{_path(envelope.recipient)}>\r\n".encode()),
        (Stage.DATA, b"DATA\r\n"),
    ]


def stuffed(message: bytes) -> bytes:
    """Prepare a message for DATA (RFC 5321, 4.5.2), with its end.

    All line ends become CRLF, so that no server can see an end of the message within it.
    """
    breaks = message.count(b"\r\n")
    if message.count(b"\n") != breaks or message.count(b"\r") != breaks:
        message = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    content = message.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n")


def _path(address: str) -> str:
    """Check that an address cannot end its command.

    Raises:
        ValueError: it has a control character or a bracket.
    """
    if not address.isprintable() or "<" in address or ">" in address:
        raise ValueError(f"{address!r} is no address for an envelope")
    return address
