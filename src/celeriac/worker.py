"""Composition root of the workers: makes the built-in application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac import builtin
from celeriac.application import Celeriac
from celeriac.core.extras import MODULES, absent
from celeriac.discovery import host_families
from celeriac.family import FamilySettings
from celeriac.settings import Settings, load_settings

if TYPE_CHECKING:
    c_app: Celeriac  # the application that Celery's commands serve; see `__getattr__`


def create_app(settings: Settings | None = None, families: Mapping[str, FamilySettings] | None = None) -> Celeriac:
    """Make the built-in application, with all usable job families. It connects to nothing yet.

    `families` has settings of job families by name. The environment has those of other families.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    app = Celeriac("celeriac", settings=settings or load_settings())
    builtin.register(app)
    if not absent(MODULES["storage"]):
        app.sweep_files()
    host_families(app, families)
    return app


def __getattr__(name: str) -> Any:
    """Make `c_app` at its first use, such as `-A celeriac.worker:c_app`. An import alone makes nothing."""
    if name != "c_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    app = globals()["c_app"] = create_app()
    return app
