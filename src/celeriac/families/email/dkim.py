"""Signs messages (DKIM, RFC 6376; Ed25519: RFC 8463), with relaxed/relaxed canonicalization.

Headers that a forger could add a second time are named once more than they occur (oversigned: RFC 6376, 8.15). The
headers to unsubscribe with have to be signed (RFC 8058, 4). `dkim_keys` reads the keys.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_OVERSIGNED = (
    b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"mime-version", b"content-type",
    b"list-unsubscribe", b"list-unsubscribe-post",
)  # fmt: skip
_SIGNED = (b"content-transfer-encoding", b"list-id", *_OVERSIGNED)
_LINE = 72  # characters of base64 in one line of the header


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key, whose public half is in the DNS at `selector._domainkey.domain`.

    Attributes:
        domain: it signs mails of senders of this domain, and of those below it; None: those of each sender's domain.
        algorithm: `rsa-sha256` or `ed25519-sha256`.
        bits: the size of an RSA key; 0 for others.
        sign: signs the headers in canonical form.
        public: the public half, as the DNS has it: of RSA as SubjectPublicKeyInfo in DER, of Ed25519 alone.
    """

    selector: str
    domain: str | None
    algorithm: str
    bits: int
    sign: Callable[[bytes], bytes] = field(repr=False)
    public: bytes = field(default=b"", repr=False)

    def domain_for(self, sender_domain: str) -> str | None:
        """Return the domain that vouches for mails from `sender_domain`; None: this key signs none of them."""
        if self.domain is None:
            return sender_domain
        return self.domain if f".{sender_domain.lower()}".endswith(f".{self.domain}") else None


class Signer:
    """A signer of the messages of one sender's domain."""

    def __init__(self, keys: Iterable[DkimKey], sender_domain: str, end: bytes = b"") -> None:
        """`end` follows each message: its attachments."""
        self._keys = [(key, domain) for key in keys if (domain := key.domain_for(sender_domain)) is not None]
        self._given_end = end

    def sign(self, message: bytes) -> bytes:
        """Return a message with a signature of each key before it. It has CRLF line ends, and is not dot-stuffed."""
        if not self._keys:
            return message
        head, _, body = message.partition(b"\r\n\r\n")
        body_hash = base64.b64encode(self._body_hash(body))
        fields = _fields(head)
        now = int(time.time())
        signatures = [_signature(key, domain, fields, body_hash, now) for key, domain in self._keys]
        return b"".join((*signatures, message))

    @cached_property
    def _end(self) -> bytes:
        """The end in canonical form. It has megabytes, so this is done once, by the thread that signs."""
        return relaxed_body(self._given_end)

    def _body_hash(self, body: bytes) -> bytes:
        canonical = relaxed_body(body)
        digest = hashlib.sha256(canonical if self._end else _closed(canonical))
        if self._end:
            digest.update(_closed(self._end))
        return digest.digest()


def relaxed_body(body: bytes) -> bytes:
    """Reduce white space as RFC 6376, 3.4.4 says, part (a). Empty lines at its end stay."""
    return _reduced(body).replace(b" \r\n", b"\r\n").removesuffix(b" ")


def relaxed_header(line: bytes) -> bytes:
    """Bring a header, maybe folded, into canonical form (RFC 6376, 3.4.2), without its line end."""
    name, _, value = line.partition(b":")
    return name.strip(b" \t").lower() + b":" + _reduced(value.replace(b"\r\n", b"")).strip(b" ")


def data_to_sign(headers: Sequence[bytes], signature: bytes) -> bytes:
    """Return what is signed: headers, and the signature's own header with an empty `b=` (RFC 6376, 3.7)."""
    return b"".join(relaxed_header(header) + b"\r\n" for header in headers) + relaxed_header(signature)


def _reduced(text: bytes) -> bytes:
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _closed(body: bytes) -> bytes:
    """Take empty lines off the end (RFC 6376, 3.4.4, part b)."""
    body = body.rstrip(b"\r\n")
    return body + b"\r\n" if body else b""


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Split the head of a message into headers, each with its name in lower case."""
    lines = list[bytes]()
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] += b"\r\n" + line
        else:
            lines.append(line)
    return [(line.partition(b":")[0].strip().lower(), line) for line in lines]


def _signature(key: DkimKey, domain: str, fields: Sequence[tuple[bytes, bytes]], body_hash: bytes, now: int) -> bytes:
    # Several headers of one name are signed from the last to the first (RFC 6376, 5.4.2).
    signed = [(name, line) for name, line in reversed(fields) if name in _SIGNED]
    names = [name for name, _ in signed] + list(_OVERSIGNED)
    head = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed;\r\n d={domain};\r\n s={key.selector}; t={now};\r\n"
    ).encode("ascii")
    header = head + b" h=" + b":\r\n ".join(_in_threes(names)) + b";\r\n bh=" + body_hash + b";\r\n b="
    value = base64.b64encode(key.sign(data_to_sign([line for _, line in signed], header)))
    lines = [value[start : start + _LINE] for start in range(0, len(value), _LINE)]
    return header + b"\r\n ".join(lines) + b"\r\n"


def _in_threes(names: Sequence[bytes]) -> list[bytes]:
    return [b":".join(names[start : start + 3]) for start in range(0, len(names), 3)]
