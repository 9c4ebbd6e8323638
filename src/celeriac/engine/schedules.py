"""Makes beat's entries for jobs that run at intervals or by a cron expression."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.schedules import schedule

from celeriac.core import codec
from celeriac.core.errors import ConfigurationError
from celeriac.core.spec import Call
from celeriac.engine.cron import Cron


def beat_entry(
    name: str,
    call: Call[Any],
    *,
    every: float | timedelta | None,
    cron: str | None,
    queue: str | None,
    timezone: str | None = None,
) -> dict[str, Any]:
    """Make one entry of Celery's `beat_schedule`.

    Raises:
        ConfigurationError: neither or both of `every` and `cron` are given, or one cannot be read.
    """
    if timezone is not None and cron is None:
        raise ConfigurationError(f"schedule {name!r}: timezone={timezone!r} has a meaning for `cron` only")
    if (every is None) == (cron is None):
        raise ConfigurationError(f"schedule {name!r}: give either `every` (seconds or timedelta) or `cron`")
    entry: dict[str, Any] = {
        "task": call.spec.name,
        "schedule": _interval(name, every) if every is not None else _cron(name, cron or "", timezone),
        "kwargs": codec.loads(call.arguments),
    }
    chosen = queue or call.spec.options.queue
    if chosen is not None:
        entry["options"] = {"queue": chosen}
    return entry


def _interval(name: str, every: float | timedelta) -> Any:
    try:
        interval = every if isinstance(every, timedelta) else timedelta(seconds=every)
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"schedule {name!r}: every={every!r} is no length of time: {error}") from None
    if interval <= timedelta(0):
        raise ConfigurationError(f"schedule {name!r}: every={every!r} must be positive")
    return schedule(interval)


def _cron(name: str, expression: str, timezone: str | None) -> Cron:
    try:
        return Cron(expression, timezone=timezone)
    except ValueError as error:
        if "time zone" in str(error):
            raise ConfigurationError(f"schedule {name!r}: timezone={error}") from None
        raise ConfigurationError(
            f"schedule {name!r}: cron={expression!r} is not `minute hour day month weekday`: {error}"
        ) from None
