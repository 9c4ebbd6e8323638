"""A real API server: uvicorn on a free port, in a thread of its own, so that a test can look into its event loop."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI

from celeriac import Celeriac
from celeriac.asgi import include
from tests.support.waiting import wait_until

T = TypeVar("T")
#: For clients of plain HTTP: to load the authorities that this machine trusts takes a tenth of a second.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def api_of(app: Celeriac) -> FastAPI:
    """The API of an application of the tests' own, made as the built-in one's is."""
    api = FastAPI(lifespan=app.lifespan)
    include(api, app)
    return api


class ApiServer:
    """A server that runs. `url` says where."""

    def __init__(self, api: FastAPI, **options: Any) -> None:
        config = uvicorn.Config(api, port=0, log_config=None, timeout_graceful_shutdown=3, **options)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="api", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive(), "the server is up")
        assert self._server.started, "the server ended at its start"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server did not end"

    def tasks(self) -> set[str]:
        """The tasks of its event loop by name, without those of uvicorn's own and of this question."""
        return self.call(_tasks)

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns, called on its event loop."""
        answer: Future[T] = Future()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: answer.set_result(function()))
        return answer.result(10)

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve()

        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(serve())


def _tasks() -> set[str]:
    own = ("Server.serve", "LifespanOn.main", "ApiServer._serve")
    return {
        f"{task.get_name()}: {task.get_coro().__qualname__}"  # type: ignore[union-attr]
        for task in asyncio.all_tasks()
        if not any(name in task.get_coro().__qualname__ for name in own)  # type: ignore[union-attr]
    }


@contextmanager
def serving(api: FastAPI, **options: Any) -> Generator[ApiServer]:
    """Serve `api` for the length of a `with` block. `options` are `uvicorn.Config`'s."""
    server = ApiServer(api, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
