"""Assembles the routes of the job API."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from celeriac.core.extras import MODULES, absent
from celeriac.engine.app import JobApp
from celeriac.http.events import add_event_route
from celeriac.http.jobs import add_job_routes
from celeriac.http.route import bounded_route


def create_router(app: JobApp, **options: Any) -> APIRouter:
    """Make the job API of `app`, to include under a prefix such as `/jobs`. `options` go to `fastapi.APIRouter`.

    Define all jobs before this call: it adds no routes for later ones.
    """
    options.setdefault("tags", ["jobs"])
    options.setdefault("generate_unique_id_function", _operation_id)
    router = APIRouter(route_class=bounded_route(app.settings.max_body_bytes), **options)
    add_event_route(router, app)
    if not absent(MODULES["storage"]):
        from celeriac.http.artifacts import add_artifact_routes

        add_artifact_routes(router, app)
    add_job_routes(router, app)
    return router


def _operation_id(route: APIRoute) -> str:
    """Make an operation id as FastAPI does, but keep `.` and `-`: the names of two jobs may differ only in them."""
    return re.sub(r"[^\w.\-]", "_", f"{route.name}{route.path_format}_{min(route.methods or {''})}").lower()
