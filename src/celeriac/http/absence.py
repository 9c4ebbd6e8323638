"""Routes that say why nothing is there."""

from __future__ import annotations

from fastapi import FastAPI, Response

from celeriac.http.problems import problem

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def explain_absence(api: FastAPI, prefix: str, detail: str) -> None:
    """Answer each path below `prefix` with 404 and `detail`. OpenAPI does not show that."""

    async def absent() -> Response:
        return problem(404, "family-absent", detail)

    for path in (prefix, f"{prefix}/{{rest:path}}"):
        api.add_api_route(path, absent, methods=_METHODS, include_in_schema=False)
