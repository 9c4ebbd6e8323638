"""How much longer does a FastAPI request take if it accepts a job?

Measures CPU time of the event loop's thread, from the ASGI call to its end, without server and network. A route that
takes the same arguments and does nothing, and the job's own route, take turns.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from fastapi import Body, FastAPI
from pydantic import SecretStr

from benchmarks.harness import Bench
from benchmarks.support.options import Options
from celeriac import Celeriac, Settings
from celeriac.launch.broker.embedded import embedded_valkey

_WARM_UP = 50
_SAMPLES = 1000
_QUICK = 50
_BODY = json.dumps({"number": 7, "text": "some text"}).encode()


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options.scaled(_SAMPLES, _QUICK)))


async def _run(samples: int) -> Bench:
    bench = Bench("api_enqueue", "time of the event loop that accepting a job takes per request", "ms per request")
    with tempfile.TemporaryDirectory() as directory:
        async with embedded_valkey(Path(directory), append_only=False) as url:
            app = Celeriac("bench", settings=Settings(broker_url=SecretStr(url), data_dir=Path(directory)))
            api = _api(app)
            nothing: list[float] = []
            job: list[float] = []
            for sample in range(-_WARM_UP, samples):
                taken = await _busy(api, "/nothing", 200), await _busy(api, "/jobs/noop", 202)
                if sample >= 0:
                    nothing.append(taken[0])
                    job.append(taken[1])
            bench.add("a route that does nothing", nothing)
            bench.add("POST /jobs/noop", job)
            bench.add("what the job adds", [b - a for a, b in zip(nothing, job, strict=True)])
            await app.client.aclose()
            app.close()
    return bench


def _api(app: Celeriac) -> FastAPI:
    api = FastAPI()

    @app.job(name="noop")
    async def noop(number: int, text: str = "") -> None: ...

    @api.post("/nothing")
    async def nothing(number: int = Body(), text: str = Body(default="")) -> dict[str, int]:
        return {"number": number}

    api.include_router(app.router(), prefix="/jobs")
    return api


async def _busy(api: FastAPI, path: str, expected: int) -> float:
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(_BODY)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": _BODY, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    began = time.thread_time_ns()
    await api(scope, receive, send)
    taken = (time.thread_time_ns() - began) / 1e6
    assert status == expected, status
    return taken
