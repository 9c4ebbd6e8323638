"""Composition root of the API: the built-in application over HTTP.

uvicorn --factory celeriac.asgi:create_api
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException

import celeriac
from celeriac.application import Celeriac, load_app
from celeriac.core.extras import MODULES, absent
from celeriac.core.findings import Finding, fail
from celeriac.discovery import broken, check, warn
from celeriac.engine.app import JobApp
from celeriac.family import FamilySettings
from celeriac.http.absence import absent_router
from celeriac.http.auth import LoopbackOnly, require_api_key
from celeriac.http.health import Check, add_health_routes
from celeriac.http.pages import Link, add_docs, add_home
from celeriac.http.problems import answer_with_problem, responses
from celeriac.http.router import create_router
from celeriac.settings import DEFAULT_APP, Settings, load_settings
from celeriac.store.declared import check_scripts
from celeriac.worker import create_app


def create_api(settings: Settings | None = None, families: Mapping[str, FamilySettings] | None = None) -> FastAPI:
    """Make the API of the application that the settings name: the built-in one with its families, or yours.

    `families` has settings of job families by name. The environment has those of other families.

    Raises:
        ConfigurationError: a setting is wrong, what the application declares does not fit, or the API would be open to
            other machines without keys.
        InstallationBroken: the package's own files do not belong together.
    """
    check_scripts()
    settings = settings or load_settings()
    settings.check_exposure()
    if settings.app == DEFAULT_APP:
        return _api_of(create_app(settings, families))
    return _api_of(load_app(settings.app))


def _api_of(app: JobApp) -> FastAPI:
    app.check_complete()
    api = FastAPI(title="Celeriac", version=celeriac.__version__, lifespan=app.lifespan, docs_url=None, redoc_url=None)
    include(api, app)
    add_docs(api)
    add_home(api, _links(app.settings))
    return api


def _links(settings: Settings) -> Callable[[], Mapping[str, Link]]:
    """Return a function that makes the links of the page at `/`."""
    needs_key = " An API key is needed." if settings.api_keys else ""

    def links() -> Mapping[str, Link]:
        found = {
            "docs": Link("/docs", "API documentation", "Every route, with the arguments of each job. Try them there."),
            "jobs": Link("/jobs", "Jobs", f"The newest jobs and their states, as JSON.{needs_key}"),
            "health": Link("/health/ready", "Health", "Whether the API and its broker answer."),
            "openapi": Link("/openapi.json", "OpenAPI", "The description of this API, for programs."),
        }
        if flower := _flower(settings):
            found["flower"] = Link(flower, "Flower", "Celery's monitor: workers and their tasks.")
        return found

    return links


def _flower(settings: Settings) -> str | None:
    """Return the URL of Flower, if a stack runs on the data directory (see its `stack.json`)."""
    try:
        address: Any = json.loads((settings.data_dir / "stack.json").read_text())["flower"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if isinstance(address, str) and address.startswith(("http://", "https://")) else None


def include(api: FastAPI, app: JobApp) -> None:
    """Put the API of `app` and its job families into `api`. The paths of absent families say why they are absent.

    With API keys, callers need one. Without, the API serves only this machine.
    """
    for fault in (HTTPException, Exception):
        api.add_exception_handler(fault, answer_with_problem)
    keys = app.settings.named_api_keys()
    guarded: dict[str, Any] = {}
    if keys:
        guarded = {"dependencies": [Depends(require_api_key(keys))], "responses": responses(401)}
    else:
        api.add_middleware(LoopbackOnly)
    own = _FamilyRouters(app, guarded) if isinstance(app, Celeriac) else None
    health = APIRouter(tags=["health"])
    add_health_routes(health, app, own.checks() if own else None)
    api.include_router(health)
    api.include_router(create_router(app, **guarded), prefix="/jobs")
    if isinstance(app, Celeriac) and not absent(MODULES["storage"]):
        api.include_router(app.links(), prefix="/links")
        api.include_router(app.uploads(**guarded), prefix="/uploads")
    if own:
        own.include_in(api)


class _FamilyRouters:
    """The routers of the families of `app`, and why some families have none."""

    def __init__(self, app: Celeriac, guarded: dict[str, Any]) -> None:
        self._app, self._guarded = app, guarded
        self._routers: dict[str, list[APIRouter]] = {}
        self._broken: dict[str, str] = {}
        for name, family in app.families.items():
            try:
                routers = [family.router(**guarded), family.public_router()]
            except Exception as error:
                self._broken[name] = broken(name, "router()", error)
                warn(self._broken[name])
                continue
            self._routers[name] = [router for router in routers if router is not None]

    def checks(self) -> dict[str, Check]:
        """Return the checks of the families, by name. That of a family without its routes fails."""
        own = self._app.family_settings
        checks: dict[str, Check] = {n: partial(check, type(f), own[n]) for n, f in self._app.families.items()}
        return checks | {name: partial(_finds, name, fault) for name, fault in self._broken.items()}

    def include_in(self, api: FastAPI) -> None:
        for name, routers in self._routers.items():
            for router in routers:
                api.include_router(router, prefix=f"/{name}")
        limit, dependencies = self._app.settings.max_upload_bytes, self._guarded.get("dependencies", ())
        for name, absence in {**self._app.absent_families, **self._broken}.items():
            router = absent_router(absence, max_body_bytes=limit, dependencies=dependencies)
            api.include_router(router, prefix=f"/{name}")


async def _finds(name: str, fault: str) -> Sequence[Finding]:
    return [fail(name, fault, "upgrade its package")]
