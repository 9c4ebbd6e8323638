"""Assembles the job API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from celeriac.engine.app import JobApp
from celeriac.http.events import add_event_route
from celeriac.http.jobs import add_job_routes
from celeriac.http.route import bounded_route


def create_router(app: JobApp, **options: Any) -> APIRouter:
    """The job API of `app`, to include under a prefix such as `/jobs`. `options` are `fastapi.APIRouter`'s.

    Jobs that are defined later than this call are not in it.
    """
    options.setdefault("tags", ["jobs"])
    router = APIRouter(route_class=bounded_route(app.settings.max_body_bytes), **options)
    add_event_route(router, app)
    add_job_routes(router, app)
    return router
