"""Sends many messages over one SMTP connection, and turns the server's replies into outcomes (RFC 5321).

If the server can do PIPELINING (RFC 2920), MAIL, RCPT and DATA go out together, and those of the next message together
with the end of the one before: one round trip for each message. The content of a message is only ever sent after the
server has asked for it, and after the reply to the message before was read.

`replies` says what a reply means. One that concerns the sender raises `MailServerUnavailable`, and then nothing is
known of the recipient. A connection that breaks is transient. If it breaks between the message and the reply, the
server may have accepted the message: that is *the window* which the ledger describes.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import NamedTuple, Self

from celeriac.families.email.envelope import Envelope, commands, stuffed
from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.greeting import Extensions, NotOffered, Refused, greet, own_name
from celeriac.families.email.model import Outcome, PermanentFailure, Sent, TransientFailure
from celeriac.families.email.replies import Stage, Verdict, judge
from celeriac.families.email.smtp_url import SmtpServer
from celeriac.families.email.wire import Disconnected, Reply, Wire

# RFC 5321, 4.5.3.2.6. A sender that gives up earlier on a server that scans slowly sends mails twice.
_DATA_TIMEOUT_S = 600.0
_QUIT_TIMEOUT_S = 5.0
_MAX_TEXT = 500
_CLOSING = 421
# Larger messages are not copied to be written together with the next commands.
_JOINED = 65_536


class _Ahead(NamedTuple):
    """The commands for a message."""

    envelope: Envelope
    dialogue: list[tuple[Stage, bytes]]


class _Stale(Exception):
    """The server has ended the connection between two messages."""


class SmtpSession:
    """A connection to a mail server that is opened when needed, used for many messages, and replaced if it breaks.

    An `async with` block closes it at its end.
    """

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self._wire: Wire | None = None
        self._offered = Extensions(frozenset(), 0, frozenset())
        self._is_fresh = True
        self._in_transaction = False  # of a message that was refused: RSET comes before the next
        self._ahead: _Ahead | None = None  # commands that are sent, and not answered

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._wire is not None and self._wire.is_open

    @property
    def is_between_messages(self) -> bool:
        """Whether the connection is open, and ready for any message."""
        return self.is_connected and self._ahead is None

    async def connect(self) -> None:
        """Make sure that there is a connection, ready for a message.

        Raises:
            MailServerUnavailable: the server cannot be reached, does not offer the required TLS, has a certificate
                that cannot be verified, or refuses us or the login.
        """
        if self.is_connected:
            return
        self._drop()
        name = self.server.ehlo or await asyncio.to_thread(own_name)
        try:
            self._wire, self._offered = await greet(self.server, name)
        except Refused as refusal:
            raise self._unavailable(str(refusal), refusal.reply.code) from None
        except TimeoutError:
            reason = f"Timed out: no connection within {self.server.timeout:g} s"
            raise self._unavailable(reason, None) from None
        except (Disconnected, NotOffered, OSError) as error:
            raise self._unavailable(str(error) or type(error).__name__, None) from None
        self._is_fresh = True

    async def send(
        self, sender: str, recipient: str, message: bytes, *, utf8: bool = False, following: Envelope | None = None
    ) -> Outcome:
        """Transfer one message to one recipient.

        Args:
            sender: the envelope sender, ASCII.
            recipient: the address in its wire form.
            message: with CRLF line ends, not dot-stuffed.
            utf8: whether the recipient's address needs SMTPUTF8 (RFC 6531).
            following: the message to be sent next. Its commands may go out with the end of this one. The next call
                must be for it, or else it costs the connection.

        Raises:
            MailServerUnavailable: as `connect`, or the server refuses the sender. The recipient is not refused.
        """
        envelope = Envelope(sender, recipient, len(message), utf8)
        try:
            await self._begin(envelope)
            return await self._transfer(message, following)
        except Refused as refusal:
            return self._refused(refusal)
        except Disconnected as error:
            self._drop()
            return TransientFailure(None, _clean(str(error)))
        except NotOffered as error:
            return PermanentFailure(None, str(error))
        except MailServerUnavailable:
            raise
        except BaseException:
            self._drop()  # amid a command: the next command would read its reply
            raise

    async def close(self) -> None:
        """Send QUIT if the server is still there, and close the connection."""
        wire = self._wire
        if wire is not None and wire.is_open and self._ahead is None:
            try:
                wire.write(b"QUIT\r\n")
                await wire.reply(min(self.server.timeout, _QUIT_TIMEOUT_S))
            except Disconnected:
                pass
        self._drop()  # if it waits for a message that never comes, it forgets it

    async def _begin(self, envelope: Envelope) -> None:
        """Bring the server to ask for the message. Open a new connection if it has closed the old one, as many do."""
        await self.connect()
        try:
            await self._open(envelope)
        except _Stale:
            self._drop()
            await self.connect()
            await self._open(envelope)

    async def _open(self, envelope: Envelope) -> None:
        """Send MAIL, RCPT and DATA, unless they are sent already, and read the replies.

        Raises:
            Refused: with the first refusal.
            _Stale: the server has ended the connection since the last message.
        """
        wire = self._connected()
        ahead, self._ahead = self._ahead, None
        sent = ahead is not None
        if ahead is not None and ahead.envelope != envelope:
            raise _Stale  # it waits for another message
        dialogue = self._commands(envelope) if ahead is None else ahead.dialogue
        if not sent and wire.has_unread:
            raise self._ended("it said something unasked")
        if not sent and self._pipelines:
            wire.write(b"".join(command for _, command in dialogue))
            sent = True
        refusal: Refused | None = None
        for stage, command in dialogue:
            if not sent:
                wire.write(command)
            reply = wire.ready() or await self._reply_of(stage)
            if stage is Stage.MAIL and reply.code == _CLOSING and not self._is_fresh:
                raise _Stale
            if reply.code // 100 not in (2, 3):
                refusal = refusal or Refused(stage, reply, self._detail(stage, envelope))
                if reply.code == _CLOSING or not sent:
                    break
            elif stage is Stage.DATA and refusal is not None:
                wire.write(b".\r\n")  # it waits for a message that is for nobody (RFC 2920, 3.1)
                await wire.reply(self.server.timeout)
        self._in_transaction = refusal is not None
        if refusal is not None:
            raise refusal

    async def _reply_of(self, stage: Stage) -> Reply:
        """
        Raises:
            _Stale: in place of a reply to RSET or MAIL, the server has ended a connection that was used before.
        """
        wire = self._connected()
        try:
            return await wire.reply(self.server.timeout)
        except Disconnected as error:
            if stage is Stage.MAIL:
                raise self._ended(str(error)) from None
            raise

    def _ended(self, why: str) -> Exception:
        return Disconnected(why) if self._is_fresh else _Stale(why)

    def _commands(self, envelope: Envelope) -> list[tuple[Stage, bytes]]:
        return commands(envelope, self._offered, reset=self._in_transaction)

    def _detail(self, stage: Stage, envelope: Envelope) -> str:
        return f":<{envelope.sender}>" if stage is Stage.MAIL else ""

    async def _transfer(self, message: bytes, following: Envelope | None) -> Sent:
        wire = self._connected()
        content = stuffed(message)
        next_commands = b""
        if following is not None and self._pipelines:
            try:
                self._ahead = _Ahead(following, self._commands(following))
                next_commands = b"".join([command for _, command in self._ahead.dialogue])
            except (NotOffered, Refused):
                pass  # it will say so when it is its turn
        if len(content) <= _JOINED:
            wire.write(content + next_commands)
        else:
            wire.write(content)
            if next_commands:
                wire.write(next_commands)
        await wire.flush(_DATA_TIMEOUT_S)
        reply = await wire.reply(_DATA_TIMEOUT_S)
        self._is_fresh = False
        if reply.code // 100 != 2:
            raise Refused(Stage.END, reply)
        return Sent(reply.code)

    def _refused(self, refusal: Refused) -> Outcome:
        """Return the outcome that a refusal means. Leave the connection ready for the next message, or closed.

        Raises:
            MailServerUnavailable: it concerns the sender.
        """
        code, text = refusal.reply.code, _clean(refusal.reply.text)
        verdict = judge(refusal.stage, code, text)
        self._is_fresh = False
        if code == _CLOSING or code // 100 not in (4, 5):
            self._drop()
        if verdict in (Verdict.SENDER, Verdict.SENDER_LATER):
            raise self._unavailable(str(refusal), code) from None
        if verdict in (Verdict.LATER, Verdict.DOMAIN_LATER):
            return TransientFailure(code, text, verdict)
        return PermanentFailure(code, text, verdict)

    @property
    def _pipelines(self) -> bool:
        return "PIPELINING" in self._offered.names

    def _unavailable(self, reason: str, code: int | None) -> MailServerUnavailable:
        return MailServerUnavailable(str(self.server), _clean(reason), code)

    def _connected(self) -> Wire:
        if self._wire is None:
            raise Disconnected("not connected")
        return self._wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        self._ahead, self._in_transaction = None, False
        if wire is not None:
            wire.abort()


def _clean(text: str) -> str:
    """Turn a server's words into one printable line."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return "".join(character if character.isprintable() else "?" for character in line)[:_MAX_TEXT]
