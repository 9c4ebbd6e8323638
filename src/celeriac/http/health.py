"""Health routes: whether the API is alive, and whether it can serve jobs."""

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

#: Checks the external services that a job family needs.
Check = Callable[[], Awaitable[Sequence[Finding]]]

#: Time between two checks. A load balancer asks often, and each check costs a connection.
_FRESH_S = 10.0
#: How long the first request waits for the first check. Load balancers give up after a second or so.
_PATIENCE_S = 0.5
_GRAVITY = (Status.OK, Status.WARN, Status.FAIL)


def add_health_routes(router: APIRouter, app: JobApp, checks: Mapping[str, Check] | None = None) -> None:
    """Add `/health/live` and `/health/ready` to `router`. `checks` has the checks of job families by name."""
    families = _Watch(checks or {})

    @router.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/health/ready", summary="The process and the broker answer", responses=responses(503))
    async def ready() -> JSONResponse:
        """Report whether the API can accept jobs.

        A job family whose external service fails makes the status `degraded`, not 503: the API still accepts jobs.
        This page needs no key, so it says little. `celeriac doctor` says more.
        """
        try:
            await app.client.ping()
        except BrokerUnavailable as error:
            return problem(503, "broker-unavailable", str(error), headers={"Retry-After": "1"})
        found = await families.look()
        told: dict[str, Any] = {"status": "degraded" if Status.FAIL in found.values() else "ok"}
        return JSONResponse({**told, "families": found} if found else told)


class _Watch:
    """The gravest level that each family's last check found; `unknown` before the first."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._known: dict[str, str] = dict.fromkeys(checks, "unknown")
        self._looking: asyncio.Future[None] | None = None
        self._next = 0.0

    async def look(self) -> dict[str, str]:
        """Return the last results. A check that is due runs in the background. Wait a little for the first one."""
        if self._checks and (self._looking is None or self._looking.done()) and time.monotonic() >= self._next:
            self._next = time.monotonic() + _FRESH_S
            self._looking = background(self._look_at_all())
            await asyncio.wait([self._looking], timeout=_PATIENCE_S if "unknown" in self._known.values() else 0)
        return dict(self._known)

    async def _look_at_all(self) -> None:
        await asyncio.gather(*(self._look_at(name, check) for name, check in self._checks.items()))

    async def _look_at(self, name: str, check: Check) -> None:
        try:
            async with asyncio.timeout(_FRESH_S):
                found = {finding.status for finding in await check()}
        except TimeoutError:  # a check should give up sooner; without this limit, an old result would stay
            found = {Status.FAIL}
        self._known[name] = max(found, key=_GRAVITY.index, default=Status.OK)
