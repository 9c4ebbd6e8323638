"""Composition root of the workers: the one application, with everything that is built in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac import builtin
from celeriac.application import Celeriac
from celeriac.discovery import host_families
from celeriac.family import FamilySettings
from celeriac.settings import Settings, load_settings

if TYPE_CHECKING:
    c_app: Celeriac  # the application that Celery's commands serve; see `__getattr__`


def create_app(settings: Settings | None = None, families: Mapping[str, FamilySettings] | None = None) -> Celeriac:
    """Put the built-in application together, with all job families that are there. Connects to nothing yet.

    `families` has settings of job families, by their names; those of others are read from the environment.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    app = Celeriac("celeriac", settings=settings or load_settings())
    builtin.register(app)
    host_families(app, families)
    return app


def __getattr__(name: str) -> Any:
    """Make `c_app` when it is first asked for, as `-A celeriac.worker:c_app` does. An import alone makes nothing."""
    if name != "c_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    app = globals()["c_app"] = create_app()
    return app
