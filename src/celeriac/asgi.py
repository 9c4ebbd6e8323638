"""Composition root of the API: the built-in application over HTTP.

uvicorn --factory celeriac.asgi:create_api
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException

import celeriac
from celeriac.http.auth import LoopbackOnly, require_api_key
from celeriac.http.health import add_health_routes
from celeriac.http.mailings import create_email_router
from celeriac.http.problems import answer_with_problem, responses
from celeriac.settings import Settings, load_settings
from celeriac.worker import BuiltIn, compose


def create_api(settings: Settings | None = None) -> FastAPI:
    """The API of the built-in application, with API keys where some are set.

    Raises:
        ConfigurationError: a setting is wrong, or the API would be open to other machines without keys.
    """
    settings = settings or load_settings()
    settings.check_exposure()
    built_in = compose(settings)
    api = FastAPI(title="Celeriac", version=celeriac.__version__, lifespan=built_in.app.lifespan)
    include(api, built_in)
    return api


def include(api: FastAPI, built_in: BuiltIn) -> None:
    """Put everything that is built in into `api`, behind API keys if there are any, else on this machine only."""
    app = built_in.app
    for fault in (HTTPException, Exception):
        api.add_exception_handler(fault, answer_with_problem)
    keys = app.settings.named_api_keys()
    guarded: dict[str, Any] = {}
    if keys:
        guarded = {"dependencies": [Depends(require_api_key(keys))], "responses": responses(401)}
    else:
        api.add_middleware(LoopbackOnly)
    health = APIRouter(tags=["health"])
    add_health_routes(health, app)
    api.include_router(health)
    api.include_router(app.router(**guarded), prefix="/jobs")
    api.include_router(create_email_router(app, built_in.email, **guarded), prefix="/email")
