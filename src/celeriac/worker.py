"""Composition root of the workers: the one application, with everything that is built in."""

from __future__ import annotations

from celeriac.application import Celeriac
from celeriac.jobs import builtin
from celeriac.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> Celeriac:
    """An application with the built-in jobs and the job families."""
    settings = settings or load_settings()
    app = Celeriac("celeriac", settings=settings)
    builtin.register(app)
    return app


c_app = create_app()
