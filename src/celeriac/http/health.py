"""Whether the API is alive, and whether it can do its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from celeriac.core.background import background
from celeriac.core.errors import BrokerUnavailable
from celeriac.core.findings import Finding, Status
from celeriac.engine.app import JobApp
from celeriac.http.problems import problem, responses

#: Looks at what a job family needs outside.
Check = Callable[[], Awaitable[Sequence[Finding]]]

#: Seconds for which an answer is kept: a load balancer asks often, and each look costs a connection.
_FRESH = 10.0
#: Seconds that the first request waits for the first answer. Load balancers give up after a second or so.
_PATIENCE = 0.5
_GRAVITY = (Status.OK, Status.WARN, Status.FAIL)


def add_health_routes(router: APIRouter, app: JobApp, checks: Mapping[str, Check] | None = None) -> None:
    """Add `/health/live` and `/health/ready` to `router`. `checks` are those of job families, by name."""
    families = _Watch(checks or {})

    @router.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/health/ready", summary="The broker answers too", responses=responses(503))
    async def ready() -> JSONResponse:
        """A family that lacks what it needs outside makes the status `degraded`, and no 503: jobs are still taken.

        `celeriac doctor` says more; this page has no key.
        """
        try:
            await app.client.ping()
        except BrokerUnavailable as error:
            return problem(503, "broker-unavailable", str(error), headers={"Retry-After": "1"})
        found = await families.look()
        told: dict[str, Any] = {"status": "degraded" if Status.FAIL in found.values() else "ok"}
        return JSONResponse({**told, "families": found} if found else told)


class _Watch:
    """How grave the gravest finding of each family was, when last looked at; `unknown` before that."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._known: dict[str, str] = dict.fromkeys(checks, "unknown")
        self._looking: asyncio.Future[None] | None = None
        self._next = 0.0

    async def look(self) -> dict[str, str]:
        """What is known. A look that is due goes on in the background; the first one is waited for, a little."""
        if self._checks and (self._looking is None or self._looking.done()) and time.monotonic() >= self._next:
            self._next = time.monotonic() + _FRESH
            self._looking = background(self._look_at_all())
            await asyncio.wait([self._looking], timeout=_PATIENCE if "unknown" in self._known.values() else 0)
        return dict(self._known)

    async def _look_at_all(self) -> None:
        await asyncio.gather(*(self._look_at(name, check) for name, check in self._checks.items()))

    async def _look_at(self, name: str, check: Check) -> None:
        try:
            async with asyncio.timeout(_FRESH):
                found = {finding.status for finding in await check()}
        except TimeoutError:  # a check should give up sooner; without an end, the answer would stay as it was
            found = {Status.FAIL}
        self._known[name] = max(found, key=_GRAVITY.index, default=Status.OK)
