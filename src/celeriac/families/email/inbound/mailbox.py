"""Reads `CELERIAC_MAIL_BOUNCE_MAILBOX`: where bounces wait, on an IMAP server or in a maildir."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from celeriac.core.errors import ConfigurationError
from celeriac.settings import is_loopback

_EXPECTED = "expected imaps://user:password@host/INBOX, imap://…?starttls=true, or maildir:///path"
_OPTIONS = frozenset({"starttls", "move", "timeout"})
_DEFAULT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that waits. `name` is what the mailbox calls it; `raw` may be cut after the bytes that are read."""

    name: str
    raw: bytes


class Mailbox(ABC):
    """A mailbox, open. A message that is not marked as done is there again at the next opening."""

    @abstractmethod
    def waiting(self) -> AsyncIterator[Letter]:
        """Yield the messages that are not done, oldest first."""

    @abstractmethod
    async def done(self, letter: Letter) -> None:
        """Mark a message as done. Call it when what it says has been recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxPlace:
    """Where a mailbox is. Printing it never shows the password.

    Attributes:
        path: the folder on the IMAP server, or the folder of the maildir.
        host: the IMAP server; empty for a maildir.
        tls: whether the connection begins with TLS.
        starttls: whether it is upgraded to TLS.
        move: the IMAP folder to which messages go that are done; None: they stay, and are marked as seen.
        timeout: seconds to wait for the server.
    """

    path: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = True
    starttls: bool = False
    move: str | None = None
    timeout: float = _DEFAULT_TIMEOUT_S

    def __str__(self) -> str:
        return f"{'imaps' if self.tls else 'imap'}://{self.host}:{self.port}/{self.path}" if self.host else self.path


def parse_mailbox_url(url: str) -> MailboxPlace:
    """Read the setting.

    Raises:
        ConfigurationError: the message says what is wrong, and never contains the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(_EXPECTED) from None
    if parts.scheme == "maildir" and parts.path not in ("", "/") and not parts.netloc:
        return MailboxPlace(path=unquote(parts.path))
    if parts.scheme not in ("imap", "imaps") or not parts.hostname or not parts.username:
        raise ConfigurationError(_EXPECTED)
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ConfigurationError(f"option {unknown[0]!r} is unknown; there are {', '.join(sorted(_OPTIONS))}")
    tls, starttls = parts.scheme == "imaps", options.get("starttls", "false") == "true"
    if not tls and not starttls and not is_loopback(parts.hostname):
        raise ConfigurationError("the password would be sent openly: use imaps://, or ?starttls=true")
    try:
        timeout = float(options.get("timeout", _DEFAULT_TIMEOUT_S))
    except ValueError:
        raise ConfigurationError("timeout is a number of seconds") from None
    folders = (unquote(parts.path.strip("/")) or "INBOX", options.get("move"))
    if any(folder is not None and (not folder.isascii() or not folder.isprintable()) for folder in folders):
        raise ConfigurationError("the names of IMAP folders are printable ASCII here")
    return MailboxPlace(
        path=folders[0],
        host=parts.hostname,
        port=port or (993 if tls else 143),
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        tls=tls,
        starttls=starttls,
        move=folders[1],
        timeout=timeout,
    )
