"""When an endpoint is left alone for a while, and when it is disabled. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Failures in a row that open a circuit.
TRIPPING = 5
#: Messages that have to fail before an endpoint is disabled: one that it cannot digest is no reason.
DISABLING_MESSAGES = 3
_LONGEST_OPEN_S = 600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings: seconds of the first delay, and seconds and failures after which an endpoint is disabled."""

    first_delay: float
    disable_after: float
    disable_failures: int


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has done since its last success. Times are milliseconds since the epoch."""

    failing_since: int | None = None
    failures: int = 0
    trips: int = 0
    open_until: int | None = None


def after_failures(health: Health, count: int, now: int, rules: Rules) -> Health:
    """Return the health after `count` more failures. Each time the circuit opens, it stays open for twice as long.

    What was under way when it opened, and fails, does not prolong that.
    """
    worse = replace(health, failing_since=health.failing_since or now, failures=health.failures + count)
    is_open = health.open_until is not None and health.open_until > now
    if worse.failures < TRIPPING or is_open:
        return worse
    seconds = min(_LONGEST_OPEN_S, 2.0 * rules.first_delay * 2.0 ** min(health.trips, 20))
    return replace(worse, trips=health.trips + 1, open_until=now + round(1000 * seconds))


def may_be_disabled(health: Health, now: int, rules: Rules) -> bool:
    """Whether it has failed for long and often enough. Whether several messages did is for the caller to count."""
    if health.failing_since is None or health.failures < rules.disable_failures:
        return False
    return now - health.failing_since >= 1000 * rules.disable_after
