"""Assembles the job API."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from celeriac.engine.app import JobApp
from celeriac.http.events import add_event_route
from celeriac.http.jobs import add_job_routes
from celeriac.http.route import bounded_route


def create_router(app: JobApp, **options: Any) -> APIRouter:
    """The job API of `app`, to include under a prefix such as `/jobs`. `options` are `fastapi.APIRouter`'s.

    Jobs that are defined later than this call are not in it.
    """
    options.setdefault("tags", ["jobs"])
    options.setdefault("generate_unique_id_function", _operation_id)
    router = APIRouter(route_class=bounded_route(app.settings.max_body_bytes), **options)
    add_event_route(router, app)
    add_job_routes(router, app)
    return router


def _operation_id(route: APIRoute) -> str:
    """FastAPI's own, but that it keeps the marks in which the names of two jobs may differ."""
    return re.sub(r"[^\w.\-]", "_", f"{route.name}{route.path_format}_{min(route.methods or {''})}").lower()
