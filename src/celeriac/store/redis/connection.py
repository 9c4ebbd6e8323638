"""Connections to Redis or Valkey that never hang: every operation has a deadline and one clear error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Generator
from types import TracebackType
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import hiredis
from redis import Redis
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import (
    ClusterDownError,
    DataError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from celeriac.core.errors import BrokerUnavailable

Client = AsyncRedis
BlockingClient = Redis

#: First words of the errors with which a server answers that cannot serve, or does not serve us.
_UNAVAILABLE = frozenset(
    {
        *("LOADING", "BUSY", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"),
        *("NOAUTH", "WRONGPASS", "NOPERM"),
    }
)
#: These words for redis-py's own error classes, from whose messages it cuts the word.
_CODES: dict[type, str] = {
    ClusterDownError: "CLUSTERDOWN",
    MasterDownError: "MASTERDOWN",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    TryAgainError: "TRYAGAIN",
}
#: Errors that mean that no server answers, or that it is not Redis.
_ABSENT = (OSError, RedisConnectionError, RedisTimeoutError, InvalidResponse)


class _Packing:
    """Packs commands with hiredis, as redis-py does for blocking clients, but not on asyncio."""

    _writer: asyncio.StreamWriter
    _serializer: Any = HiredisRespSerializer()  # redis-py does not type it
    _pack = staticmethod(cast(Any, hiredis).pack_command)

    def pack_command(self, *args: Any) -> list[bytes]:
        try:
            if args[0] != "EVALSHA":
                return self._serializer.pack(*args)
            return [self._pack(args)]  # maybe thousands, and none has a type that needs conversion
        except (TypeError, ValueError) as error:  # ValueError: a text is not Unicode
            raise DataError(str(error)) from error

    @property
    def transport(self) -> Any:
        """The transport of the open connection, for code that reads from it without redis-py."""
        return self._writer.transport


_PACKING: dict[type, type] = {
    kind: type(kind.__name__, (_Packing, kind), {}) for kind in (Connection, SSLConnection, UnixDomainSocketConnection)
}


def connect(url: str, *, timeout: float, max_connections: int = 32) -> Client:
    """Make an asyncio client. Use it inside a `deadline`. Connecting may take `timeout` seconds.

    It has no other timeouts. Those of redis-py use `asyncio.wait_for`, which until Python 3.12 can swallow the
    deadline's cancellation (python/cpython#86296). Then the wait would be twice as long.

    If the server has closed a connection since its last use, the client replaces it once without an error. That is safe
    because every script of ours may be sent twice.
    """
    pool = cast(Any, BlockingConnectionPool).from_url(  # redis-py does not type its keyword arguments
        redis_py_url(url),
        max_connections=max_connections,
        timeout=None,
        socket_timeout=None,
        socket_connect_timeout=timeout,
        retry=AsyncRetry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    pool.connection_class = _PACKING[pool.connection_class]
    return AsyncRedis.from_pool(pool)


async def connection_of(client: Client) -> Any:
    """Take a connection from the client's pool. The caller releases it."""
    return await cast(Any, client).connection_pool.get_connection()


def connect_blocking(url: str, *, timeout: float) -> BlockingClient:
    """Make a blocking client whose operations fail after `timeout` seconds."""
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    }
    return cast(Any, Redis).from_url(redis_py_url(url), **options)


def redis_py_url(url: str) -> str:
    """Translate Celery's URL of a unix socket (`redis+socket:///path?virtual_host=1`) into redis-py's."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis+socket", "socket"):
        return url
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    # Not urlunsplit: until Python 3.12 it leaves out the `//` that redis-py insists on.
    return f"unix://{parts.netloc}{parts.path}?db={database}"


class Deadline:
    """The context manager of `deadline`. A generator in its place would cost a tenth of an enqueue."""

    __slots__ = ("_seconds", "_timeout")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            raise unavailable(late, self._seconds) from late
        if isinstance(error, TimeoutError | RedisError):
            raise unavailable(error, self._seconds) from error


def deadline(seconds: float) -> Deadline:
    """Bound the block to `seconds`, and turn every sign of an absent broker into one error.

    Raises:
        BrokerUnavailable: there was no answer in time, no connection, or the server says that it cannot serve.
    """
    return Deadline(seconds)


def unavailable(error: Exception, seconds: float) -> BrokerUnavailable:
    """Return the error to raise for `error`. Raise `error` again if it is our fault and not the broker's."""
    if not is_absence(error):
        raise error
    cause = str(error).partition("\n")[0]
    if isinstance(error, TimeoutError) or "timeout" in cause.lower():
        return BrokerUnavailable(f"the broker did not answer within {seconds:g} s")
    shown = _code(error) if isinstance(error, ResponseError) else _reason(error)
    return BrokerUnavailable(f"the broker cannot be used: {shown}")


@contextlib.contextmanager
def naming(url: str) -> Generator[None]:
    """Name the broker in a `BrokerUnavailable`, and say what to do, for operators: not for callers of an API."""
    try:
        yield
    except BrokerUnavailable as error:
        advice = "start it (`celeriac up` brings one), or correct CELERIAC_BROKER_URL"
        raise BrokerUnavailable(f"{without_secrets(url)}: {error}; {advice}") from error.__cause__


def without_secrets(url: str) -> str:
    """Remove user, password and query from a broker's URL. The query can have a password too."""
    servers = url.split(";")  # Sentinel allows several, each with a scheme
    if all("://" in server for server in servers):
        return ";".join(map(_address, servers))
    return _address(url)


def _address(url: str) -> str:
    """Return scheme, host, port and path. An unescaped password hides where the host begins: then only the scheme."""
    scheme, _, rest = url.partition("://")
    credentials, _, place = rest.rpartition("@")
    if any(mark in credentials for mark in "/?#"):
        return f"{scheme}://..."
    return f"{scheme}://{place.partition('?')[0].partition('#')[0]}"


def is_absence(error: Exception) -> bool:
    """Return whether `error` means that the server cannot serve now, and not that the command is wrong."""
    if isinstance(error, ResponseError):
        return _code(error) in _UNAVAILABLE
    return isinstance(error, _ABSENT)


def _reason(error: Exception) -> str:
    """Return the system's reason for the lack of a connection, without an address, else the kind of the error."""
    causes = (error, error.__cause__, error.__context__)
    if unknown := next((cause for cause in causes if isinstance(cause, socket.gaierror)), None):
        return f"its host is not known: {unknown.strerror}"
    number = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno), None)
    return type(error).__name__ if number is None or number < 0 else os.strerror(number)


def _code(error: ResponseError) -> str:
    """Return the first word of the server's reply. redis-py cuts it off if it has a class for the error."""
    told: str | None = getattr(error, "status_code", None)  # redis-py 6 does not have it
    return told or _CODES.get(type(error)) or str(error).partition(" ")[0]
