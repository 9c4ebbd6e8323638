"""Jobs of the built-in application, for smoke tests and `celeriac doctor`.

`builtin.register(app)` adds them to any other application.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from pydantic import Field

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.engine.app import JobApp

Seconds = Annotated[float, Field(ge=0, le=86_400)]


class EchoFailed(Exception):
    """The error of a job `celeriac.echo` that is asked to fail."""


def register(app: JobApp) -> Job[..., Any]:
    """Add `celeriac.echo` and `celeriac.echo_blocking` to `app`, and return the first."""

    async def echo(job: JobContext, value: Any = None, seconds: Seconds = 0, fail: str | None = None) -> Any:
        """Wait, then return the value, or fail with the given message."""
        _begin(job, seconds)
        await asyncio.sleep(seconds)
        return _end(job, value, seconds, fail)

    def echo_blocking(job: JobContext, value: Any = None, seconds: Seconds = 0, fail: str | None = None) -> Any:
        """Do as `celeriac.echo` does, in a `def` job."""
        _begin(job, seconds)
        time.sleep(seconds)
        return _end(job, value, seconds, fail)

    app.job(name="celeriac.echo_blocking")(echo_blocking)
    return app.job(name="celeriac.echo")(echo)


def _begin(job: JobContext, seconds: float) -> None:
    if seconds:
        job.progress(0, seconds, "waiting")


def _end(job: JobContext, value: Any, seconds: float, fail: str | None) -> Any:
    if seconds:
        job.progress(seconds, seconds, "done")
    if fail is not None:
        raise EchoFailed(fail)
    return value
