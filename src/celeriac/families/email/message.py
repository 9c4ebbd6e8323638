"""Builds the bytes of a message in a tenth of a millisecond (`EmailMessage` takes some four).

It encodes only once what all messages of a mailing share. Bodies are quoted-printable (RFC 2045, 6.7): pure ASCII, in
lines of at most 76 characters. Servers accept that without any extension.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import quote

from celeriac.families.email.address import Sender

#: Longest header value that is sent in one line, in characters. A line may have 998 octets (RFC 5322, 2.1.1).
MAX_UNFOLDED = 900

# Quoted-printable never contains "=_", so this cannot occur in a part (RFC 2045, 6.7).
_BOUNDARY = b"=_celeriac_part"

_MIXED = b"=_celeriac_mixed"
_RELATED = b"=_celeriac_related"
#: The end of a message with attachments. The parts that `attachment_head` begins stand before it.
ATTACHED_END = b"--" + _MIXED + b"--\r\n"
#: The end of the images that the HTML shows (RFC 2387). Attachments follow.
IMAGES_END = b"--" + _RELATED + b"--\r\n"

_ENCODED_WORD_OCTETS = 39  # 52 characters in base64, 12 around them, "Subject: ": within the 76 of RFC 2047, 2
_LINE = 76
_DOT_ATOM = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_PHRASE = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]*")
_LINE_BREAK = re.compile(r"[\r\n]")


def message_id(mailing_id: str, position: int, domain: str) -> str:
    """Make the Message-ID of a mail to one recipient. Each time it is sent it has the same (RFC 5322, 3.6.4)."""
    if not _DOT_ATOM.fullmatch(mailing_id):
        mailing_id = hashlib.sha256(mailing_id.encode()).hexdigest()[:32]
    return f"<{position}.{mailing_id}@{domain}>"


def place_of(message_id: str) -> tuple[str, int] | None:
    """Return the mailing's id and the position that a Message-ID of ours names; None if it is none of ours."""
    local, _, _ = message_id.strip().removeprefix("<").removesuffix(">").rpartition("@")
    position, _, mailing_id = local.partition(".")
    if not position.isdecimal() or not position.isascii() or len(position) > 9 or not mailing_id:
        return None
    return mailing_id, int(position)


class MessageBuilder:
    """A builder of the messages of one mailing."""

    def __init__(
        self,
        sender: Sender,
        list_unsubscribe: str | None = None,
        *,
        attached: bool = False,
        with_images: bool = False,
    ) -> None:
        """Messages `with_images` are to be followed by these, and `IMAGES_END`; then `attached` ones by their
        attachments, and `ATTACHED_END`.

        Raises:
            ValueError: a header value contains a line break; `list_unsubscribe` is not ASCII, or too long.
        """
        self._opening = (_opening(b"mixed", _MIXED) if attached else b"") + (
            _opening(b'related; type="multipart/alternative"', _RELATED) if with_images else b""
        )
        self._head = b"From: " + _mailbox(sender) + b"\r\n"
        if list_unsubscribe is not None:
            if not list_unsubscribe.isascii() or len(list_unsubscribe) > MAX_UNFOLDED:
                raise ValueError(f"List-Unsubscribe must be ASCII, of at most {MAX_UNFOLDED} characters")
            self._head += b"List-Unsubscribe: " + _one_line(list_unsubscribe).encode("ascii") + b"\r\n"

    def build(
        self,
        *,
        to: str,
        subject: str,
        text: str | bytes | None,
        html: str | bytes | None,
        message_id: str,
        date: datetime,
        headers: bytes = b"",
    ) -> bytes:
        """Build one message, with CRLF line ends, not yet dot-stuffed.

        Args:
            to: the address in its wire form; if it is not ASCII, the message needs SMTPUTF8.
            text: as a text, or in quoted-printable already; so is `html`.
            headers: more headers, each with its line end.

        Raises:
            ValueError: a header value contains a line break, or there is neither text nor HTML.
        """
        head = [
            self._head,
            b"To: ", _one_line(to).encode(), b"\r\n",
            b"Subject: ", encode_header(subject, len("Subject: ")), b"\r\n",
            b"Date: ", _date(date.replace(microsecond=0)), b"\r\n",
            b"Message-ID: ", _one_line(message_id).encode(), b"\r\n",
            headers,
            b"MIME-Version: 1.0\r\n",
        ]  # fmt: skip
        body = _body(text, html)
        if self._opening:
            return b"".join((*head, self._opening, body, b"\r\n"))
        return b"".join((*head, body))


@lru_cache(maxsize=4)
def _date(date: datetime) -> bytes:
    """Write a date as in RFC 5322, 3.3. Many mails have the same second, and this takes as long as a body."""
    return format_datetime(date).encode()


def _opening(kind: bytes, boundary: bytes) -> bytes:
    return b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n"


def attachment_head(name: str, content_type: str, cid: str | None = None) -> bytes:
    """Begin a part with the content of a file, which follows in base64 (RFC 2045, RFC 2183).

    `cid` is the name by which the HTML shows an image (RFC 2392); None: the file is an attachment.

    Its name is given in ASCII as well, for old programs, if it is not (RFC 2231).
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()+") else "_" for c in name)
    exact = f'filename="{plain}"' if plain == name else f"filename*=utf-8''{quote(name, safe='')}"
    boundary, how = (_MIXED, "attachment") if cid is None else (_RELATED, "inline")
    content_id = "" if cid is None else f"Content-ID: <{_one_line(cid)}>\r\n"
    return (
        f'--{boundary.decode()}\r\nContent-Type: {_one_line(content_type)};\r\n name="{plain}"\r\n'
        f"{content_id}Content-Disposition: {how};\r\n {exact}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode("ascii")


def encoded_size(octets: int) -> int:
    """Return about how many octets a file of so many takes in a message: in base64, in lines, with its headers."""
    return -(-octets // 57) * 78 + 250


def encode_header(value: str, used: int) -> bytes:
    """Fold an unstructured header value (RFC 5322, 2.2.1). Write all but printable ASCII as RFC 2047 words.

    Args:
        used: the characters that the header's name takes in the first line.

    Raises:
        ValueError: the value contains a line break.
    """
    _one_line(value)
    plain = value.isascii() and value.isprintable() and "=?" not in value and value == value.strip()
    if plain and used + len(value) <= _LINE:
        return value.encode()
    if plain and (folded := _fold(value, used)) is not None:
        return folded
    return b"\r\n ".join(_encoded_words(value))


def _fold(value: str, used: int) -> bytes | None:
    """Put line breaks before words. Return None if a reader could not undo that exactly."""
    words = value.split(" ")
    if "" in words or max(map(len, words)) >= _LINE:
        return None
    lines, room = words[:1], _LINE - used
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
            room = _LINE - 1
    return "\r\n ".join(lines).encode()


def _encoded_words(value: str) -> list[bytes]:
    words, chunk = list[bytes](), b""
    for character in value:
        octets = character.encode(errors="replace")
        if len(chunk) + len(octets) > _ENCODED_WORD_OCTETS:
            words.append(chunk)
            chunk = b""
        chunk += octets
    return [b"=?utf-8?b?" + base64.b64encode(word) + b"?=" for word in (*words, chunk)]


def _mailbox(sender: Sender) -> bytes:
    """Write a mailbox as in RFC 5322, 3.4. Its display name is a phrase, a quoted string or encoded words."""
    name, address = _one_line(sender.name), _one_line(sender.address).encode("ascii")
    if not name:
        return address
    if not (name.isascii() and name.isprintable()) or len(name) > _LINE - len("From: ") or "=?" in name:
        return b"\r\n ".join(_encoded_words(name)) + b"\r\n <" + address + b">"
    if not _PHRASE.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return name.encode() + b" <" + address + b">"


def _one_line(value: str) -> str:
    if _LINE_BREAK.search(value):
        raise ValueError("a header value must not contain a line break")
    return value


def _body(text: str | bytes | None, html: str | bytes | None) -> bytes:
    parts = [_part(kind, content) for kind, content in ((b"plain", text), (b"html", html)) if content is not None]
    if not parts:
        raise ValueError("a message needs a text or an HTML body")
    if len(parts) == 1:
        return parts[0]
    delimiter = b"--" + _BOUNDARY
    return b"".join(
        (
            b'Content-Type: multipart/alternative; boundary="', _BOUNDARY, b'"\r\n\r\n',
            *(part for content in parts for part in (delimiter, b"\r\n", content, b"\r\n")),
            delimiter, b"--\r\n",
        )
    )  # fmt: skip


def _part(kind: bytes, content: str | bytes) -> bytes:
    head = b"Content-Type: text/" + kind + b'; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head + (content if isinstance(content, bytes) else quoted_printable(content))


def quoted_printable(content: str) -> bytes:
    """Encode a text, and end it with a line end if it has none. Each line is encoded for itself."""
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    if not content.endswith("\n"):
        content += "\n"
    # With CRLF in the input, b2a_qp ends the lines that it breaks itself with CRLF too.
    return binascii.b2a_qp(content.encode(errors="replace").replace(b"\n", b"\r\n"))
