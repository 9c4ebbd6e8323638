"""How long does enqueueing keep an API's event loop from other work?

Other requests wait for the loop's thread. So this measures its CPU time for code that awaits, and wall-clock time for
code that blocks.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import SecretStr

from benchmarks.harness import Bench
from benchmarks.support.options import Options
from celeriac import Celeriac, Settings
from celeriac.launch.broker.embedded import embedded_valkey

_WARM_UP = 50
_SAMPLES = 1000
_QUICK = 50
_TOGETHER = 100
_BATCH = 500


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options.scaled(_SAMPLES, _QUICK)))


async def _run(samples: int) -> Bench:
    bench = Bench("enqueue", "time of the event loop that one enqueue takes", "ms per job")
    with tempfile.TemporaryDirectory() as directory:
        async with embedded_valkey(Path(directory), append_only=False) as url:
            app = Celeriac("bench", settings=Settings(broker_url=SecretStr(url), data_dir=Path(directory)))

            @app.job(name="noop")
            async def noop(number: int, text: str = "") -> None: ...

            async def many() -> None:
                await noop.enqueue_many(noop.call(n, "some text") for n in range(_BATCH))

            async def together() -> None:
                await asyncio.gather(*(noop.enqueue(n, "some text") for n in range(_TOGETHER)))

            bench.add("enqueue", await _busy(lambda: noop.enqueue(7, "some text"), samples))
            bench.add("enqueue, 100 at the same time", await _busy(together, samples // 10, jobs=_TOGETHER))
            bench.add("enqueue_many, 500 at a time", await _busy(many, samples // 50, jobs=_BATCH))
            bench.add("Celery's delay(), which blocks", _blocked(lambda: noop.task.delay(7, "some text"), samples))
            await app.client.aclose()
            app.close()
    return bench


async def _busy(action: Callable[[], Awaitable[object]], samples: int, jobs: int = 1) -> list[float]:
    for _ in range(_WARM_UP if jobs == 1 else 1):
        await action()
    taken: list[float] = []
    for _ in range(samples):
        began = time.thread_time_ns()
        await action()
        taken.append((time.thread_time_ns() - began) / 1e6 / jobs)
    return taken


def _blocked(action: Callable[[], object], samples: int) -> list[float]:
    for _ in range(_WARM_UP):
        action()
    taken: list[float] = []
    for _ in range(samples):
        began = time.perf_counter_ns()
        action()
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken
