"""The `Celeriac` class that users import: the engine's application, and what FastAPI needs of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from celeriac.engine.app import JobApp

if TYPE_CHECKING:  # a worker has no use for it
    from fastapi import APIRouter, FastAPI


class Celeriac(JobApp):
    """A `celery.Celery` with typed jobs, a job API for FastAPI, and settings that are safe on Redis.

    app = Celeriac("shop")
    api = FastAPI(lifespan=app.lifespan)
    api.include_router(app.router(), prefix="/jobs")
    """

    def router(self, **options: Any) -> APIRouter:
        """The job API, to include under a prefix. `options` are `fastapi.APIRouter`'s, `dependencies` say.

        It does not authenticate by itself: pass your own dependencies, or use `celeriac.asgi`.
        """
        from celeriac.http.router import create_router

        return create_router(self, **options)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        """Close this application's connections when the API ends."""
        try:
            yield
        finally:
            await self.client.aclose()
