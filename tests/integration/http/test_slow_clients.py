"""Requests that take too long to arrive are ended; those that make progress, and answers, have their time."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import ExitStack, suppress
from itertools import repeat

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse

from celeriac import server as celeriac_server
from celeriac.http.route import bounded_route
from celeriac.server import MIN_RATE, TimedProtocol, request_timeout
from tests.support.api_server import ApiServer, serving
from tests.support.waiting import DEADLINE, wait_until

SECONDS = 0.5
HEAD = b"POST /read HTTP/1.1\r\nHost: localhost\r\n"
LATE = b"HTTP/1.1 408 "


class Gate:
    """Opened by the test; the application waits for it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    async def passed(self) -> None:
        self.entered.set()
        while not self.open.is_set():
            await asyncio.sleep(0.01)


def application(gate: Gate) -> FastAPI:
    api = FastAPI()

    @api.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @api.post("/late")
    async def late(request: Request) -> int:
        await gate.passed()
        return len(await request.body())

    @api.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncGenerator[bytes]:
            yield b"first\n"
            await gate.passed()
            yield b"last\n"

        return StreamingResponse(pieces())

    return api


@pytest.fixture
def gate() -> Generator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Whatever the client does, the server's log has neither warnings nor tracebacks."""
    yield
    assert not [line.getMessage() for line in caplog.get_records("call") if line.levelno >= logging.WARNING]


@pytest.fixture
def server(gate: Gate, monkeypatch: pytest.MonkeyPatch, quiet_log: None) -> Generator[ApiServer]:
    monkeypatch.setenv("CELERIAC_REQUEST_TIMEOUT", str(SECONDS))
    request_timeout.cache_clear()
    with serving(application(gate), http=TimedProtocol) as server:
        yield server
        gate.open.set()
        wait_until(lambda: not server.tasks(), "no request is left on the server")
    request_timeout.cache_clear()


@pytest.fixture
def connection(server: ApiServer) -> Generator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        yield connection


def drip(connection: socket.socket, pieces: Iterable[bytes], every: float = 0.1) -> bytes:
    """Send one piece after another, until the server says something or ends the connection; all that it says."""
    started = time.monotonic()
    for piece in pieces:
        connection.settimeout(every)
        with suppress(ConnectionError):  # it has ended the connection; what it said before can still be read
            connection.sendall(piece)
        try:
            said = connection.recv(65536)
        except TimeoutError:
            assert time.monotonic() - started < DEADLINE, "the server still waits"
            continue
        except ConnectionError:
            return b""
        return said + rest(connection)
    return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """What the server says until it ends the connection."""
    connection.settimeout(DEADLINE)
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except ConnectionResetError:  # it ended the connection while more was on its way
        pass
    return said


def is_alive(server: ApiServer) -> bool:
    return httpx2.get(f"{server.url}/openapi.json", timeout=DEADLINE).status_code == 200


def test_a_connection_that_says_nothing_is_ended_without_an_answer(
    server: ApiServer, connection: socket.socket
) -> None:
    assert rest(connection) == b""
    assert is_alive(server)


def test_a_head_that_trickles_in_is_ended(server: ApiServer, connection: socket.socket) -> None:
    connection.sendall(HEAD + b"X-Slow: ")
    assert drip(connection, repeat(b"x")).startswith(LATE)
    assert is_alive(server)


def test_a_second_head_on_a_connection_has_as_long_as_the_first(server: ApiServer, connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
    said = b""
    while not said.endswith(b"\r\n\r\n1"):  # head and body may come apart
        said += (piece := connection.recv(65536))
        assert piece, f"the server ended the connection: {said!r}"
    assert said.startswith(b"HTTP/1.1 200 ")
    connection.sendall(HEAD + b"X-Slow: ")
    assert drip(connection, repeat(b"x")).startswith(LATE)


@pytest.mark.parametrize(
    ("framing", "piece"),
    [(b"Content-Length: 1000000\r\n\r\n", b"x"), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")],
    ids=["length", "chunked"],
)
@pytest.mark.parametrize("pieces", [repeat, lambda _: ()], ids=["trickling", "silent"])
def test_a_body_that_trickles_in_or_stops_is_ended(
    server: ApiServer, connection: socket.socket, framing: bytes, piece: bytes, pieces: type[repeat[bytes]]
) -> None:
    connection.sendall(HEAD + framing + piece)
    assert drip(connection, pieces(piece)).startswith(LATE)
    assert is_alive(server)


def test_a_body_that_makes_progress_may_take_many_times_as_long(connection: socket.socket) -> None:
    piece = b"x" * MIN_RATE  # five times as fast as it must be
    connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (40 * len(piece)))
    said = drip(connection, repeat(piece, 40))
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"\r\n20000")


def test_a_body_has_an_end_however_well_it_makes_progress(
    connection: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celeriac_server, "LONGEST_BODY_S", 2.5 * SECONDS)
    connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
    assert drip(connection, repeat(b"x" * MIN_RATE)).startswith(LATE)


def test_a_body_that_came_with_the_request_before_has_no_more_time(connection: socket.socket, gate: Gate) -> None:
    first = HEAD.replace(b"/read", b"/late") + b"Content-Length: 2\r\n\r\nxx"
    connection.sendall(first + HEAD + b"Content-Length: 1000\r\n\r\nx")
    assert gate.entered.wait(DEADLINE)
    stays_open(connection)
    gate.open.set()
    said = rest(connection)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert LATE in said


def test_others_are_served_while_many_send_slowly(server: ApiServer) -> None:
    with ExitStack() as ending:
        slow = [ending.enter_context(socket.create_connection(("127.0.0.1", server.port), DEADLINE)) for _ in range(50)]
        for number, connection in enumerate(slow):
            connection.sendall(HEAD if number % 2 else HEAD + b"Content-Length: 9\r\n\r\nx")
        assert is_alive(server)
        assert all(rest(connection).startswith(LATE) for connection in slow)


@pytest.mark.parametrize("pieces", [b"", b"x"], ids=["head", "body"])
def test_a_client_that_leaves_in_mid_request_leaves_no_traceback(
    server: ApiServer, connection: socket.socket, gate: Gate, pieces: bytes
) -> None:
    connection.sendall(HEAD.replace(b"/read", b"/late") + b"Content-Length: 1000\r\n\r\n" + pieces)
    assert gate.entered.wait(DEADLINE)
    connection.close()
    gate.open.set()
    wait_until(lambda: not server.tasks(), "the request has ended")


def test_nor_does_it_leave_one_of_our_routes_in_any_server(gate: Gate, quiet_log: None) -> None:
    api = FastAPI()
    router = APIRouter(route_class=bounded_route(1_000_000))

    @router.post("/upload")
    async def upload(request: Request) -> int:
        gate.entered.set()
        return sum([len(piece) async for piece in request.stream()])

    api.include_router(router)
    with serving(api) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
            connection.sendall(HEAD.replace(b"/read", b"/upload") + b"Content-Length: 1000\r\n\r\nx")
            assert gate.entered.wait(DEADLINE)
        wait_until(lambda: not server.tasks(), "the request has ended")


def test_the_rest_of_a_body_that_was_refused_cannot_hold_the_connection(connection: socket.socket) -> None:
    head = HEAD.replace(b"POST /read", b"POST /nowhere") + b"Content-Length: 1000000\r\n\r\n"
    connection.sendall(head)
    assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
    drip(connection, repeat(b"x"))


def test_a_client_that_waits_for_the_application_is_not_ended(connection: socket.socket, gate: Gate) -> None:
    late = HEAD.replace(b"/read", b"/late") + b"Connection: close\r\n"
    connection.sendall(late + b"Content-Length: 2\r\n\r\nxx")
    assert gate.entered.wait(DEADLINE)
    stays_open(connection)
    gate.open.set()
    assert rest(connection).endswith(b"\r\n2")


def test_a_client_that_is_to_go_on_when_told_to_is_not_ended_before(connection: socket.socket, gate: Gate) -> None:
    late = HEAD.replace(b"/read", b"/late") + b"Connection: close\r\nExpect: 100-continue\r\n"
    connection.sendall(late + b"Content-Length: 2\r\n\r\n")
    assert gate.entered.wait(DEADLINE)
    stays_open(connection)
    gate.open.set()
    assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
    connection.sendall(b"xx")
    assert rest(connection).endswith(b"\r\n2")


def test_a_client_whose_body_is_not_read_yet_is_not_ended(connection: socket.socket, gate: Gate) -> None:
    size = 500_000
    late = HEAD.replace(b"/read", b"/late") + b"Connection: close\r\n"
    connection.sendall(late + b"Content-Length: %d\r\n\r\n" % size + b"x" * 100_000)
    assert gate.entered.wait(DEADLINE)
    stays_open(connection)
    gate.open.set()
    connection.sendall(b"x" * (size - 100_000))
    assert rest(connection).endswith(b"\r\n500000")


def test_an_answer_may_take_as_long_as_it_likes(connection: socket.socket, gate: Gate) -> None:
    connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert gate.entered.wait(DEADLINE)
    said = connection.recv(65536)
    while b"first" not in said:
        said += (piece := connection.recv(65536))
        assert piece, f"the server ended the connection: {said!r}"
    stays_open(connection)
    gate.open.set()
    assert b"last" in rest(connection)


def stays_open(connection: socket.socket) -> None:
    """The server says nothing, and does not end the connection, for longer than a request may take."""
    connection.settimeout(2.5 * SECONDS)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(DEADLINE)
