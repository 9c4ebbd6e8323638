"""Whether the API is alive, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from celeriac.core.errors import BrokerUnavailable
from celeriac.engine.app import JobApp
from celeriac.http.problems import problem, responses


def add_health_routes(router: APIRouter, app: JobApp) -> None:
    """Add `/health/live` and `/health/ready` to `router`."""

    @router.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/health/ready", summary="The broker answers too", responses=responses(503))
    async def ready() -> JSONResponse:
        try:
            await app.client.ping()
        except BrokerUnavailable as error:
            return problem(503, "broker-unavailable", str(error), headers={"Retry-After": "1"})
        return JSONResponse({"status": "ok"})
