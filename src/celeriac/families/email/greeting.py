"""Opens a connection to a mail server, up to where mail can be sent: EHLO, TLS and the login."""

from __future__ import annotations

import base64
import functools
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.families.email.replies import Stage
from celeriac.families.email.smtp_url import SmtpServer, is_host_name
from celeriac.families.email.wire import Reply, Wire

_UNKNOWN_COMMAND = (500, 502)


class Refused(Exception):
    """The server answered with an error. `detail` is what it answered, beyond the stage: an address, for example."""

    def __init__(self, stage: Stage, reply: Reply, detail: str = "") -> None:
        self.stage = stage
        self.reply = reply
        self.detail = detail
        super().__init__(f"it answers {reply.code} {reply.text} to {stage}{detail}")


class NotOffered(Exception):
    """The server does not offer what is needed."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """The service extensions that a server offers (RFC 5321, 4.1.1.1). `size` is its limit in octets; 0: none told."""

    names: frozenset[str]
    size: int
    auth: frozenset[str]


async def greet(server: SmtpServer, own_name: str) -> tuple[Wire, Extensions]:
    """Connect, and get ready to send mail.

    Args:
        own_name: for EHLO.

    Raises:
        Refused: the server refuses the connection or the login.
        NotOffered: it does not offer TLS or a login, and `server` asks for that.
        Disconnected: the connection broke, or the server was silent for too long.
        OSError: it cannot be reached, or its certificate cannot be verified.
    """
    wire = await Wire.connect(
        server.host, server.port, tls=tls_context(verify=server.verify) if server.tls else None, seconds=server.timeout
    )
    try:
        return wire, await _introduce(wire, server, own_name)
    except BaseException:
        wire.abort()
        raise


async def _introduce(wire: Wire, server: SmtpServer, own_name: str) -> Extensions:
    _accepted(Stage.CONNECT, await wire.reply(server.timeout))
    offered = await _hello(wire, server, own_name)
    if server.starttls or (server.starttls is None and not server.tls and "STARTTLS" in offered.names):
        if "STARTTLS" not in offered.names:
            raise NotOffered("it does not offer STARTTLS; add starttls=false to the URL if the network is safe")
        wire.write(b"STARTTLS\r\n")
        _accepted(Stage.STARTTLS, await wire.reply(server.timeout))
        await wire.start_tls(tls_context(verify=server.verify), server.host, server.timeout)
        offered = await _hello(wire, server, own_name)  # what it said in the clear does not count (RFC 3207, 4.2)
    if server.username is not None and server.password is not None:
        await _log_in(wire, server, server.username, server.password, offered)
    return offered


async def _hello(wire: Wire, server: SmtpServer, own_name: str) -> Extensions:
    wire.write(f"EHLO {own_name}\r\n".encode())
    reply = await wire.reply(server.timeout)
    if reply.code in _UNKNOWN_COMMAND:  # before 1995 (RFC 5321, 3.2)
        wire.write(f"HELO {own_name}\r\n".encode())
        reply = Reply((await wire.reply(server.timeout)).code, ("",))
    _accepted(Stage.EHLO, reply)
    return _extensions(reply.lines[1:])


def _extensions(lines: Sequence[str]) -> Extensions:
    names, size, auth = set[str](), 0, set[str]()
    for line in lines:
        name, *parameters = line.upper().replace("AUTH=", "AUTH ").split() or [""]
        names.add(name)
        if name == "SIZE" and parameters and parameters[0].isascii() and parameters[0].isdigit():
            size = int(parameters[0][:20])
        if name == "AUTH":
            auth.update(parameters)
    return Extensions(frozenset(names), size, frozenset(auth))


async def _log_in(wire: Wire, server: SmtpServer, username: str, password: str, offered: Extensions) -> None:
    """Log in (RFC 4954): PLAIN (RFC 4616), or LOGIN, which some old servers have alone."""
    if "PLAIN" in offered.auth:
        reply = await _say(wire, server, b"AUTH PLAIN " + _base64(f"\0{username}\0{password}"))
        if reply.code == 334:  # it takes no initial response
            reply = await _say(wire, server, _base64(f"\0{username}\0{password}"))
    elif "LOGIN" in offered.auth:
        reply = await _say(wire, server, b"AUTH LOGIN")
        for secret in (username, password):
            if reply.code == 334:
                reply = await _say(wire, server, _base64(secret))
    else:
        known = " ".join(sorted(offered.auth)) or "none"
        raise NotOffered(f"it offers no login by AUTH PLAIN or AUTH LOGIN (offered: {known})")
    _accepted(Stage.AUTH, reply)


async def _say(wire: Wire, server: SmtpServer, line: bytes) -> Reply:
    wire.write(line + b"\r\n")
    return await wire.reply(server.timeout)


def _accepted(stage: Stage, reply: Reply) -> None:
    """
    Raises:
        Refused: the reply is an error, or asks for more.
    """
    if reply.code // 100 != 2:
        raise Refused(stage, reply)


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode())


@functools.cache
def tls_context(*, verify: bool) -> ssl.SSLContext:
    """Return the settings of TLS: 1.2 at least, and a certificate that names the host."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.cache
def own_name() -> str:
    """Return our name for EHLO (RFC 5321, 4.1.1.1). It may ask the DNS, which can take seconds; only once."""
    name = socket.getfqdn()
    return name if is_host_name(name) else "[127.0.0.1]"
