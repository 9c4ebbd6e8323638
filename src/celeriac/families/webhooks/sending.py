"""Posts webhooks: one request, and what came back. Whether and when to try again is for others to decide."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

import celeriac
from celeriac.families.webhooks.errors import TargetRefused
from celeriac.families.webhooks.excerpts import excerpt_of_body, excerpt_of_headers
from celeriac.families.webhooks.guard import Guard
from celeriac.families.webhooks.outcomes import Failure, FailureKind, Reply
from celeriac.families.webhooks.targets import Target

#: Connections are closed by us before the server does so: many do after 5 s, and a request that crosses the end of its
#: connection would count as a failure.
_KEEP_ALIVE_S = 4
#: Addresses that were checked are used again, so that a busy endpoint does not wait for its name server.
_NAMES_LIFE_S = 10


class Poster:
    """Posts webhooks from one event loop, over connections that it keeps.

    It never follows redirects, keeps no cookies, unpacks no bodies, and uses no proxy of the environment.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        connect_seconds: float = 5,
        read_seconds: float = 15,
        total_seconds: float = 30,
        max_response_bytes: int = 16_384,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Use it with `async with`.

        Args:
            guard: decides where it connects to.
            connect_seconds: for the name, the connection and its TLS together.
            read_seconds: for which an endpoint may be silent, before its answer and in it.
            total_seconds: for the whole.
            max_response_bytes: of an answer that are read. What follows is not, and its connection is closed.
            tls: certificates to trust; None: those of the system.
        """
        self._guard = guard
        self._limits = (connect_seconds, read_seconds, total_seconds)
        self._max_response_bytes = max_response_bytes
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connect_s, read_s, total_s = self._limits
        connector = aiohttp.TCPConnector(
            resolver=_CheckedNames(self._guard),
            socket_factory=self._open_socket,
            ttl_dns_cache=_NAMES_LIFE_S,
            keepalive_timeout=_KEEP_ALIVE_S,
            limit=0,  # how many deliveries there are at a time is for their jobs to say
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=total_s, connect=connect_s, sock_connect=connect_s, sock_read=read_s),
            headers={"User-Agent": f"Celeriac/{celeriac.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()
        self._guard.close()

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """Send one request.

        Raises:
            TargetRefused: the target leads to where deliveries must not go. Another try would not help.
        """
        assert self._session is not None, "use the poster with `async with`"
        start = time.perf_counter()
        try:
            async with self._session.post(
                URL(target.url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                read = await self._read(response)
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            if _is_refusal(error):
                raise TargetRefused from None
            kind, text = self._explain(error)
            return Failure(kind, text, _milliseconds_since(start))
        received = excerpt_of_headers(response.headers)
        shown = excerpt_of_body(read, response.headers, sent=headers)
        return Reply(response.status, received, shown, _milliseconds_since(start))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body, or as much of it as may be read. The connection is used again only in the first case."""
        read = bytearray()
        while len(read) < self._max_response_bytes:
            piece = await response.content.read(self._max_response_bytes - len(read))
            if not piece:
                return bytes(read)
            read += piece
        response.close()
        return bytes(read)

    def _open_socket(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """Open a socket, for an address that was checked again. An address in a URL comes here without a lookup."""
        family, kind, protocol, _, address = info
        try:
            self._guard.check_connection(str(address[0]), int(str(address[1])))
        except TargetRefused as refusal:
            raise _ConnectionRefusedByUs(str(refusal)) from None
        return socket.socket(family, kind, protocol)

    def _explain(self, error: Exception) -> tuple[FailureKind, str]:
        """Say what happened, without the words of `error`, which may have an address."""
        connect_s, read_s, total_s = self._limits
        match error:
            case aiohttp.ConnectionTimeoutError():
                return "timeout", f"connecting took longer than {connect_s:g} s"
            case aiohttp.SocketTimeoutError():
                return "timeout", f"nothing of the answer came for {read_s:g} s"
            case TimeoutError():
                return "timeout", f"the answer took longer than {total_s:g} s"
            case aiohttp.ClientConnectorDNSError():
                return "name", "the name of the host cannot be resolved"
            case aiohttp.ClientConnectorCertificateError():
                fault = getattr(error.certificate_error, "verify_message", "")
                return "tls", f"the certificate is not valid: {fault or 'it cannot be checked'}"
            case aiohttp.ClientConnectorSSLError():
                return "tls", "no secure connection came about: the server's TLS does not fit"
            case aiohttp.ClientConnectorError():
                return "connect", f"no connection came about: {_reason(error.os_error)}"
            case aiohttp.ServerDisconnectedError():
                return "broken", "the server closed the connection without an answer"
            case aiohttp.ClientResponseError():
                return "protocol", "the answer is not HTTP/1.1 as it should be"
            case aiohttp.ClientPayloadError():
                return "broken", "the answer ended too early"
            case _:
                return "broken", "the connection was lost"


class _ConnectionRefusedByUs(OSError):
    """Tells aiohttp, which handles errors of the system only, that we do not want this connection."""


class _CheckedNames(AbstractResolver):
    """Resolves names for aiohttp, once for each connection, and yields addresses that were checked."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._guard.look_up(host, port)
        ]

    async def close(self) -> None:
        """Nothing is to close: the guard has the threads."""


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, _ConnectionRefusedByUs)


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the server refused it"
    if isinstance(error, ConnectionResetError):
        return "the server broke it off"
    return "the network has no way there, or broke it off"


def _milliseconds_since(start: float) -> int:
    return round(1000 * (time.perf_counter() - start))
