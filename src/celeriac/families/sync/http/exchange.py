"""Sends one request, and gives what comes: within its limits, and to no other host than it may."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import orjson
from yarl import URL

import celeriac
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.auth import Credentials, error_code
from celeriac.families.sync.http.budget import Budget
from celeriac.families.sync.http.model import HttpSource
from celeriac.families.sync.http.paginator import Question
from celeriac.families.sync.http.passing import PASSING_STATUSES, NotThere, Passing, retry_after
from celeriac.families.sync.http.unpacking import ACCEPTED, EncodingUnknown, Unpacker
from celeriac.families.sync.http.urls import Bounds
from celeriac.families.sync.secrets import Secrets

#: Connections are closed by us before most servers do so.
_KEEP_ALIVE_S = 4
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_THERE = frozenset({404, 410})
_MOST_TOKEN_BYTES = 65_536
_NEEDS_CREDENTIALS = "the credentials are refused, or do not suffice: look at `auth`"


class Answer:
    """An answer whose status is fine. Its body is read in pieces, unpacked."""

    def __init__(self, response: aiohttp.ClientResponse, url: URL, most_bytes: int, time_left_s: float) -> None:
        self.response = response
        self.url = url
        self._most_bytes = most_bytes
        self._time_left_s = time_left_s

    @property
    def headers(self) -> Any:
        return self.response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body. Only the time for which we wait for the server counts.

        Raises:
            Passing: it ends too early, or takes too long.
            SourceFailed: it is larger than it may be, or packed in an unknown way.
        """
        try:
            unpacker = Unpacker(self.headers.get("Content-Encoding", ""))
        except EncodingUnknown as error:
            raise SourceFailed(f"the answer is packed as {str(error)[:40]!a}, which was not asked for") from None
        size = 0
        began = time.monotonic()
        async for packed in self.response.content.iter_any():
            self._time_left_s -= time.monotonic() - began
            if self._time_left_s < 0:
                raise Passing("the answer came too slowly")
            try:
                for piece in unpacker.unpack(packed):
                    size += len(piece)
                    if size > self._most_bytes:
                        raise SourceFailed(
                            f"the answer has more than {self._most_bytes // 1_000_000:,} MB when it is unpacked: ask "
                            "for smaller pages, or raise max_response_mb"
                        )
                    yield piece
            except zlib.error:
                raise Passing("the answer cannot be unpacked") from None
            began = time.monotonic()
        if not unpacker.is_whole:
            raise Passing("the answer ended too early")


class Exchange:
    """The connections to one API."""

    def __init__(self, source: HttpSource, bounds: Bounds, secrets: Secrets, budget: Budget) -> None:
        self._source = source
        self._bounds = bounds
        self._secrets = secrets
        self._budget = budget
        self._credentials = Credentials(source.auth, secrets, self._post)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def get(self, question: Question) -> AsyncGenerator[Answer]:
        """Send the request, follow redirects, and give the answer if its status is fine.

        Raises:
            Passing: it has failed in a way that may pass.
            SourceFailed: it has failed in a way that will not.
            RunLater: the host has no room for it for a while.
        """
        try:
            async with await self._budget.turn():
                answer = await self._answered(question)
                async with answer.response:
                    yield answer
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise Passing(f"GET {self._bounds.shown(question.url)}: {self._explain(error)}") from None
        except Passing as fault:
            shown = self._bounds.shown(question.url)
            if shown not in fault.reason:
                fault.reason = self._secrets.hide(f"GET {shown}: {fault.reason}")
            raise
        except SourceFailed as failure:
            shown = self._bounds.shown(question.url)
            raise type(failure)(self._secrets.hide(f"GET {shown}: {failure}")) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _answered(self, question: Question) -> Answer:
        """Return the answer, which is open, and whose status is fine."""
        time_left_s = self._source.timeout
        url, params = question.url, question.params
        may_renew = True
        redirects = 0
        while True:
            own_headers, own_params = await self._credentials.get()
            full = url.update_query({**params, **own_params}) if params or own_params else url
            began = time.monotonic()
            response = await self._send(question, full, {**question.headers, **own_headers}, time_left_s)
            time_left_s -= time.monotonic() - began
            status = response.status
            if 200 <= status < 300:
                most = self._source.max_response_mb * 1_000_000
                return Answer(response, self._bounds.without_secret(full), most, time_left_s)
            async with response:
                if status in _REDIRECTS and redirects < _MOST_REDIRECTS:
                    redirects += 1
                    url, params = self._bounds.next_of(full, response.headers.get("Location"), "the redirect"), {}
                    continue
                if status == 401 and may_renew and self._credentials.refuse(own_headers):
                    may_renew = False
                    continue
                raise self._fault(response)

    async def _send(
        self, question: Question, url: URL, headers: dict[str, str], time_left_s: float
    ) -> aiohttp.ClientResponse:
        async with asyncio.timeout(max(0.0, time_left_s)):
            return await self._open().get(url, headers=headers, allow_redirects=False, trace_request_ctx=question)

    def _fault(self, response: aiohttp.ClientResponse) -> Passing | SourceFailed:
        status = response.status
        if status in PASSING_STATUSES:
            return Passing(f"the answer is {status}", retry_after(response.headers))
        if status in _REDIRECTS:
            return SourceFailed(f"more than {_MOST_REDIRECTS} redirects")
        if status in _NOT_THERE:
            return NotThere(f"the answer is {status}; is the stream's `http.path` right, below the source's `url`?")
        return SourceFailed(f"the answer is {status}{f'; {_NEEDS_CREDENTIALS}' if status in (401, 403) else ''}")

    async def _post(self, url: str, headers: dict[str, str], form: dict[str, str]) -> dict[str, Any]:
        """Send a form to the token endpoint, which follows no redirects."""
        try:
            async with (
                asyncio.timeout(self._source.timeout),
                self._open().post(URL(url), data=form, headers=headers, allow_redirects=False) as response,
            ):
                body = b"".join([piece async for piece in Answer(response, URL(url), _MOST_TOKEN_BYTES, 60).pieces()])
        except (aiohttp.ClientError, OSError) as error:
            raise Passing(f"POST {url}: {self._explain(error)}") from None
        if response.status in PASSING_STATUSES:
            raise Passing(f"POST {url}: the answer is {response.status}", retry_after(response.headers))
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if response.status != 200 or not isinstance(answer, dict):
            raise SourceFailed(
                f"POST {url}: the answer is {response.status}{error_code(answer)}; "
                "look at client_id, client_secret and scope"
            )
        return cast("dict[str, Any]", answer)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            source = self._source
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_S, limit=0),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=source.connect_timeout, sock_read=source.read_timeout
                ),
                headers={
                    "Accept": "application/json",
                    "User-Agent": f"Celeriac/{celeriac.__version__}",
                    "Accept-Encoding": ACCEPTED,
                    **source.headers,
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_counting()],
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _explain(self, error: Exception) -> str:
        """Say what happened, without the words of `error`, which may have a URL with credentials."""
        source = self._source
        match error:
            case aiohttp.ConnectionTimeoutError():
                return f"connecting took longer than {source.connect_timeout:g} s"
            case aiohttp.SocketTimeoutError():
                return f"nothing came for {source.read_timeout:g} s"
            case TimeoutError():
                return f"the answer took longer than {source.timeout:g} s"
            case aiohttp.ClientConnectorDNSError():
                return "the name of the host cannot be resolved"
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return "no secure connection came about: look at the certificate"
            case aiohttp.ClientConnectorError():
                return f"no connection came about: {error.os_error.strerror or 'the network has no way there'}"
            case aiohttp.ServerDisconnectedError():
                return "the server closed the connection without an answer"
            case aiohttp.ClientPayloadError():
                return "the answer ended too early"
            case aiohttp.ClientResponseError():
                return "the answer is not HTTP as it should be"
            case _:
                return "the connection was lost"


def _counting() -> aiohttp.TraceConfig:
    """Count requests where they get their connection: aiohttp sends one again that an idle connection has lost."""

    async def count(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
        question = context.trace_request_ctx
        if isinstance(question, Question):
            question.sent += 1

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(count)
    config.on_connection_reuseconn.append(count)
    return config
