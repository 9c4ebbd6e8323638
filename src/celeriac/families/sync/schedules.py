"""Says in words when beat runs a sync."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celeriac.engine.app import JobApp
from celeriac.families.sync.jobs import RUN


def schedules_of(app: JobApp, sync: str) -> list[str]:
    """Return when a sync runs, such as `cron 0 * * * *` or `every 900 s`."""
    entries = [entry for entry in app.schedules.values() if entry.get("task") == RUN]
    return [_told(entry["schedule"]) for entry in entries if entry["kwargs"].get("sync") == sync]


def _told(schedule: Any) -> str:
    if hasattr(schedule, "expression"):
        return " ".join(filter(None, ("cron", schedule.expression, schedule.timezone)))
    interval: timedelta = schedule.run_every
    return f"every {interval.total_seconds():g} s"
