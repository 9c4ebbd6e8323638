"""Applications whose settings a test chooses: OPTIONS_SETTINGS is JSON, OPTIONS_KIND `plain` or `class`."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from celery import Celery

from celeriac import Celeriac, celery_settings
from tests.support.contract_jobs import Trace
from tests.support.lease import LEASE


def create(kind: str, url: str, **settings: Any) -> Celery:
    """An application of that kind: what a user of it writes, and a few tasks."""
    if kind == "class":
        app: Celery = Celeriac("options", broker=url)
        app.conf.result_backend = url
    else:
        app = Celery("options", set_as_current=False)
        app.conf.update(celery_settings(url, lease=LEASE))
    app.conf.update({**settings, "broker_transport_options": _merged(app, settings)})
    _add_tasks(app, Trace(url))
    return app


def _merged(app: Celery, settings: dict[str, Any]) -> dict[str, Any]:
    return {**app.conf.broker_transport_options, "lease": LEASE, **settings.get("broker_transport_options", {})}


def _add_tasks(app: Celery, trace: Trace) -> None:
    @app.task(name="options.note", shared=False)
    def note(key: str, word: str) -> int:
        trace.add(key, word)
        return os.getpid()

    @app.task(name="options.fail", shared=False)
    def fail() -> None:
        raise ValueError("as it should")

    @app.task(name="options.hold", shared=False)
    def hold(key: str, gate: str) -> None:
        trace.add(key, "begin")
        while not trace.is_open(gate):
            time.sleep(0.02)
        trace.add(key, "end")

    @app.task(name="options.nap", shared=False)
    def nap(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)

    @app.task(name="options.nap_async", shared=False)
    async def nap_async(seconds: float) -> None:
        await asyncio.sleep(seconds)


if "OPTIONS_KIND" in os.environ:
    app = create(os.environ["OPTIONS_KIND"], os.environ["OPTIONS_URL"], **json.loads(os.environ["OPTIONS_SETTINGS"]))
