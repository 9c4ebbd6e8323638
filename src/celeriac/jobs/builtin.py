"""Jobs that every application has, for smoke tests and `celeriac doctor`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.engine.app import JobApp


class EchoFailed(Exception):
    """What `celeriac.echo` fails with when asked to."""


def register(app: JobApp) -> Job[..., Any]:
    """Add `celeriac.echo` to `app`."""

    async def echo(
        job: JobContext,
        value: Any = None,
        seconds: Annotated[float, Field(ge=0, le=86_400)] = 0,
        fail: str | None = None,
    ) -> Any:
        """Wait, then return the value, or fail with the given message."""
        if seconds:
            job.progress(0, seconds, "waiting")
            await asyncio.sleep(seconds)
            job.progress(seconds, seconds, "done")
        if fail is not None:
            raise EchoFailed(fail)
        return value

    return app.job(name="celeriac.echo")(echo)
