"""Composition root of the workers: the one application, with everything that is built in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celeriac import builtin
from celeriac.application import Celeriac
from celeriac.discovery import host_families
from celeriac.family import FamilySettings, JobFamily
from celeriac.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """The built-in application and the job families that it hosts."""

    app: Celeriac
    families: Sequence[JobFamily]


def compose(settings: Settings | None = None, families: Mapping[str, FamilySettings] | None = None) -> BuiltIn:
    """Put the built-in application together. Connects to nothing yet.

    `families` has settings of job families, by their names; those of others are read from the environment.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    settings = settings or load_settings()
    app = Celeriac("celeriac", settings=settings)
    builtin.register(app)
    return BuiltIn(app, host_families(app, settings, families))


def create_app(settings: Settings | None = None) -> Celeriac:
    """The built-in application alone. Raises as `compose` does."""
    return compose(settings).app


c_app = create_app()
