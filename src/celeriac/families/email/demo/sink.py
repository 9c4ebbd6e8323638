"""A local mail server for the demo and the tests. It counts mails, and delivers none.

It is a real SMTP server (aiosmtpd), so each mail has come through a socket. Callers can make it refuse chosen
recipients, break connections, and pause.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

Stage = Literal["MAIL", "RCPT", "DATA"]

#: Stands for every recipient in `answer` and `disconnect`.
ANYONE = "*"

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail to one recipient, which the sink has accepted."""

    sender: str
    recipient: str
    message_id: str
    content: bytes


@dataclass(slots=True)
class _Rule:
    """An answer to give instead of accepting, and how many times more (None: always)."""

    answer: str | None
    times: int | None
    after_accepting: bool = False


class MailSink:
    """A mail server that counts. Start it (or use `async with`), send mail to `url`, then read `deliveries`.

    Call all methods on the event loop in which it runs.
    """

    def __init__(
        self,
        *,
        credentials: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        smtputf8: bool = True,
        keep_content: bool = False,
    ) -> None:
        """
        Args:
            credentials: user and password that a client must log in with (over TLS, if there is any).
            tls: offered through STARTTLS.
            smtputf8: whether internationalised addresses are accepted (RFC 6531).
            keep_content: whether deliveries keep the message, which costs memory.
        """
        self.deliveries: list[Delivery] = []
        self.connections = 0
        self._credentials = credentials
        self._tls = tls
        self._smtputf8 = smtputf8
        self._keep_content = keep_content
        self._rules: dict[tuple[str, Stage], _Rule] = {}
        self._running = asyncio.Event()
        self._running.set()
        self._delivered = asyncio.Condition()
        self._protocols = set[SMTP]()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; port 0 picks a free one."""
        self._server = await asyncio.get_running_loop().create_server(self._connection, "127.0.0.1", port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and break all connections."""
        if self._server is not None:
            self._server.close()
            for protocol in self._protocols:
                _break_connection(protocol)
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The server's URL for `CELERIAC_SMTP_URL`, without credentials."""
        return f"smtp://127.0.0.1:{self.port}"

    def mails_per_recipient(self) -> Counter[str]:
        """Count the mails of each recipient."""
        return Counter(delivery.recipient for delivery in self.deliveries)

    def mails_per_message_id(self) -> Counter[str]:
        """Count the arrivals of each Message-ID."""
        return Counter(delivery.message_id for delivery in self.deliveries)

    @property
    def duplicates(self) -> int:
        """The number of mails beyond the first of each recipient."""
        return sum(count - 1 for count in self.mails_per_recipient().values())

    def answer(
        self, recipient: str, code: int, text: str = "told to", *, at: Stage = "RCPT", times: int | None = None
    ) -> None:
        """Answer `code` for this recipient (or ANYONE) so many times, then accept. With `times=None` never accept."""
        self._rules[recipient, at] = _Rule(f"{code} {text}", times)

    def disconnect(self, recipient: str, *, at: Stage = "RCPT", times: int | None = 1, accept: bool = False) -> None:
        """Break the connection instead of answering. With `accept` (at DATA), deliver the mail first."""
        self._rules[recipient, at] = _Rule(None, times, after_accepting=accept)

    def pause(self) -> None:
        """Keep every client waiting for the answer to its DATA from now on. Mails that wait are not delivered yet."""
        self._running.clear()

    def resume(self) -> None:
        """End a `pause`."""
        self._running.set()

    async def wait_for(self, count: int, within: float = 30) -> None:
        """Wait until `count` mails have been delivered in all.

        Raises:
            TimeoutError: fewer were delivered within so many seconds.
        """
        async with asyncio.timeout(within), self._delivered:
            await self._delivered.wait_for(lambda: len(self.deliveries) >= count)

    # The hooks of aiosmtpd.

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        rule = self._rule(ANYONE, "MAIL")
        if rule is not None:
            return await self._apply(rule, server)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        rule = self._rule(address, "RCPT")
        if rule is not None:
            return await self._apply(rule, server)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await self._running.wait()
        rule = self._rule(envelope.rcpt_tos[0], "DATA")
        if rule is None or rule.after_accepting:
            await self._deliver(envelope)
        if rule is not None:
            return await self._apply(rule, server)
        return "250 OK"

    async def _deliver(self, envelope: Envelope) -> None:
        content = cast(bytes, envelope.original_content)
        found = _MESSAGE_ID.search(content)
        message_id = found.group(1).decode() if found else ""
        kept = content if self._keep_content else b""
        async with self._delivered:
            for recipient in envelope.rcpt_tos:
                self.deliveries.append(Delivery(str(envelope.mail_from), recipient, message_id, kept))
            self._delivered.notify_all()

    def _rule(self, recipient: str, stage: Stage) -> _Rule | None:
        rule = self._rules.get((recipient, stage)) or self._rules.get((ANYONE, stage))
        if rule is None or rule.times == 0:
            return None
        if rule.times is not None:
            rule.times -= 1
        return rule

    async def _apply(self, rule: _Rule, server: SMTP) -> str:
        if rule.answer is not None:
            return rule.answer
        _break_connection(server)
        await asyncio.Event().wait()  # until the loss of the connection cancels this
        raise AssertionError("unreachable")

    def _connection(self) -> SMTP:
        self.connections += 1
        protocol = SMTP(
            self,
            hostname="sink.test",
            loop=asyncio.get_running_loop(),
            enable_SMTPUTF8=self._smtputf8,
            tls_context=self._tls,
            auth_required=self._credentials is not None,
            auth_require_tls=self._tls is not None,
            authenticator=self._authenticate if self._credentials else None,
        )
        self._protocols.add(protocol)
        return protocol

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._credentials, handled=False)  # aiosmtpd is to send the reply


def _break_connection(protocol: SMTP) -> None:
    transport = cast("asyncio.Transport | None", protocol.transport)
    if transport is not None:
        transport.abort()
