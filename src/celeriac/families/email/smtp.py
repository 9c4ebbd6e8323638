"""Sends many messages over one SMTP connection, and turns the server's replies into outcomes (RFC 5321).

A reply to RCPT or DATA concerns the recipient. Its first digit decides the outcome (4.2.1): 2yz sent, 4yz transient,
5yz permanent. A reply at the connection, EHLO, AUTH or MAIL concerns the sender, and so do a few codes at RCPT or DATA.
Then `MailServerUnavailable` is raised, and nothing is known of the recipient.

A connection that breaks is transient. If it breaks between the message and the reply, the server may have accepted the
message: that is *the window* which the ledger describes.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from types import TracebackType
from typing import Self

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPResponse, SMTPResponseException, SMTPServerDisconnected

from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.model import Outcome, PermanentFailure, Sent, TransientFailure
from celeriac.families.email.smtp_url import SmtpServer

# RFC 5321, 4.5.3.2.6. A sender that gives up earlier on a server that scans slowly sends mails twice.
_DATA_TIMEOUT_S = 600.0
_MAX_TEXT = 500
_CLOSING = 421
_LOGIN_NEEDED = 530

#: Enhanced status codes (RFC 3463, RFC 7372, IANA's registry) that make a reply to RCPT or DATA concern the sender: its
#: address (1.7, 1.8), its login (7.8 to 7.11), or what it may send (DKIM, SPF, DMARC, null MX, floods: 7.20 to 7.29).
_SENDERS_FAULT = re.compile(r"[45]\.(?:1\.[78]|7\.(?:[89]|1[01]|2[0-9]))(?![0-9])")


class _Refused(Exception):
    """The server answered a command with an error code."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(code, text)


class SmtpSession:
    """A connection to a mail server that is opened when needed, used for many messages, and replaced if it breaks.

    An `async with` block closes it at its end.
    """

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self._client: aiosmtplib.SMTP | None = None
        self._is_fresh = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._client is not None and self._client.is_connected

    async def connect(self) -> None:
        """Make sure that there is a connection, ready for a message.

        Raises:
            MailServerUnavailable: the server cannot be reached, does not offer the required TLS, has a certificate
                that cannot be verified, or refuses the login.
        """
        if self.is_connected:
            return
        server = self.server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=await asyncio.to_thread(_own_name),
            timeout=server.timeout,
            use_tls=server.tls,
            start_tls=server.starttls,
            validate_certs=server.verify,
        )
        try:
            await client.connect()
        except (SMTPException, OSError) as error:
            code = error.code if isinstance(error, SMTPResponseException) else None
            raise self._unavailable(_message(error), code) from None
        self._client, self._is_fresh = client, True

    async def send(self, sender: str, recipient: str, message: bytes, *, utf8: bool = False) -> Outcome:
        """Transfer one message to one recipient.

        Args:
            sender: the envelope sender, ASCII.
            recipient: the address in its wire form.
            message: with CRLF line ends, not dot-stuffed.
            utf8: whether the recipient's address needs SMTPUTF8 (RFC 6531).

        Raises:
            MailServerUnavailable: as `connect`, or the server refuses the sender. The recipient is not refused.
        """
        try:
            await self.connect()
            if utf8 and not self._connected().supports_extension("smtputf8"):
                return PermanentFailure(None, "the mail server takes no internationalised addresses (SMTPUTF8)")
            await self._begin(sender, utf8)
            await self._command(b"RCPT", b"TO:<" + recipient.encode() + b">")
            response = await self._connected().data(message, timeout=_DATA_TIMEOUT_S)
            self._is_fresh = False
            return Sent(response.code)
        except (_Refused, SMTPDataError) as refusal:
            text = _clean(refusal.text if isinstance(refusal, _Refused) else refusal.message)
            outcome = await self._refused(refusal.code, text)
            if refusal.code == _LOGIN_NEEDED or _SENDERS_FAULT.match(text):
                raise self._unavailable(f"it answers {refusal.code} {text}", refusal.code) from None
            return outcome
        except (SMTPException, OSError) as error:
            self._drop()
            return TransientFailure(None, _clean(_message(error)))
        except MailServerUnavailable:
            raise  # between two messages: the connection can be used further
        except BaseException:
            self._drop()  # amid a command: the next command would read its reply
            raise

    async def close(self) -> None:
        """Send QUIT if the server is still there, and close the connection."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                await client.quit()
            except (SMTPException, OSError):
                client.close()

    async def _begin(self, sender: str, utf8: bool) -> None:
        """Send MAIL FROM. Open a new connection if the server has closed the old one, as many do after some messages.

        Raises:
            MailServerUnavailable: the server refuses the sender.
        """
        command = (b"MAIL", b"FROM:<" + sender.encode() + b">", *([b"SMTPUTF8"] if utf8 else []))
        try:
            try:
                await self._command(*command)
            except (SMTPServerDisconnected, _Refused) as error:
                if self._is_fresh or (isinstance(error, _Refused) and error.code != _CLOSING):
                    raise
                self._drop()
                await self.connect()
                await self._command(*command)
        except _Refused as refusal:
            await self._refused(refusal.code, refusal.text)
            reason = f"it answers {refusal.code} {refusal.text} to MAIL FROM:<{sender}>"
            raise self._unavailable(reason, refusal.code) from None

    async def _command(self, *parts: bytes) -> SMTPResponse:
        response = await self._connected().execute_command(*parts)
        if response.code // 100 != 2:
            raise _Refused(response.code, response.message)
        return response

    async def _refused(self, code: int, text: str) -> Outcome:
        """Return the outcome that a reply means. Leave the connection ready for the next message, or closed."""
        if not self.is_connected or code == _CLOSING or code // 100 not in (4, 5):
            self._drop()
        else:
            try:
                await self._command(b"RSET")
                self._is_fresh = False
            except (_Refused, SMTPException, OSError):
                self._drop()
        return PermanentFailure(code, text) if code // 100 == 5 else TransientFailure(code, text)

    def _unavailable(self, reason: str, code: int | None) -> MailServerUnavailable:
        return MailServerUnavailable(str(self.server), _clean(reason), code)

    def _connected(self) -> aiosmtplib.SMTP:
        if self._client is None:
            raise SMTPServerDisconnected("not connected")
        return self._client

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


@functools.cache
def _own_name() -> str:
    """Return our name for EHLO (RFC 5321, 4.1.1.1). It asks the DNS only once, because that can take seconds."""
    name = socket.getfqdn()
    return name if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name) else "[127.0.0.1]"


def _message(error: Exception) -> str:
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__


def _clean(text: str) -> str:
    """Turn a server's words into one printable line."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return "".join(character if character.isprintable() else "?" for character in line)[:_MAX_TEXT]
