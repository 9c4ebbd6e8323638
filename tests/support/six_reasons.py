"""A shop's application, as the tests of the six reasons run it: its jobs, its schedules, and its API.

What its jobs do they write down in FOLDER, one file per job, so that it can be told from what is recorded of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks, FastAPI

from celeriac import Celeriac, JobContext, Retry, builtin
from celeriac.asgi import include

FOLDER = Path(os.environ.get("SIX_REASONS_FOLDER", "."))
#: Seconds by which beat's clock is ahead, so that its next full minute comes a few seconds after its start.
AHEAD = 56 - time.time() % 60

BACKOFF = Retry(attempts=4, backoff=0.2, factor=3, on=(ConnectionError,), never=(ConnectionRefusedError,))

app = Celeriac("six")
builtin.register(app)


def note(name: str, **what: Any) -> None:
    """Add a line to a file, in one write, so that processes do not mix theirs."""
    line = json.dumps({"pid": os.getpid(), "at": time.time(), **what}) + "\n"
    with (FOLDER / name).open("ab", buffering=0) as file:
        file.write(line.encode())


def burn(seconds: float) -> int:
    """Compute for so long, in Python, as report writers do; returns the process it was computed in."""
    end = time.thread_time() + seconds
    total = 0
    while time.thread_time() < end:
        total += sum(range(1000))
    return os.getpid()


def work(job: JobContext, seconds: float) -> None:
    note(job.id, step="begin")
    time.sleep(seconds)
    note(job.id, step="end")


async def call_supplier(job: JobContext, error: str) -> None:
    note(job.id, attempt=job.attempt)
    raise {"reset": ConnectionResetError, "refused": ConnectionRefusedError, "bug": KeyError}[error](error)


async def wait_for_supplier() -> None:
    raise ConnectionError("closed until Monday")


async def tick(name: str, ahead: float = 0.0) -> None:
    note(name, ahead=ahead)


def early() -> datetime:
    """beat's clock."""
    return datetime.now(UTC) + timedelta(seconds=AHEAD)


burning = app.job(name="burn")(burn)
working = app.job(name="work")(work)
calling = app.job(name="call-supplier", retry=BACKOFF)(call_supplier)
waiting = app.job(name="wait-for-supplier", retry=Retry(attempts=2, backoff=3600))(wait_for_supplier)
ticking = app.job(name="tick")(tick)

app.schedule("often", ticking.call("interval"), every=0.5)
app.schedule("each minute", ticking.call("cron", ahead=AHEAD), cron="* * * * *")
app.conf.beat_schedule["often"]["schedule"].nowfun = early
app.conf.beat_schedule["each minute"]["schedule"].nowfun = early

api = FastAPI(lifespan=app.lifespan)
include(api, app)


@api.post("/background/burn", status_code=202)
async def burn_in_background(seconds: float, background: BackgroundTasks) -> None:
    """The same work as the job's, the way FastAPI has without a queue."""
    background.add_task(lambda: note("background", burnt_in=burn(seconds)))


@api.get("/ping")
async def ping() -> dict[str, float]:
    """This process, and the seconds that it has computed for."""
    await asyncio.sleep(0)
    return {"pid": os.getpid(), "cpu": time.process_time()}
