"""What a cluster-wide limit is, and how an asker is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from celeriac.core.errors import ConfigurationError

#: The longest name of a limit, and the most limits and units of one call.
LONGEST_NAME, MOST_LIMITS, MOST_UNITS = 200, 32, 1_000_000
#: The greatest rate, in units a second, and the greatest number of units or slots.
_MOST_RATE, _MOST = 1_000_000, 1_000_000_000
#: The shortest and the longest time for which a slot may be held.
_SHORTEST_HOLD_S, _LONGEST_HOLD_S = 0.1, 86_400.0


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that all processes share which use the same broker. All bounds that are given hold together.

    The name is its identity. Whoever asks brings the bounds along, so that a change takes effect at the next `take`.

    Attributes:
        name: 1 to 200 printable characters, such as `geocoder`.
        rate: how many units a second, on average; fractions are fine (`1 / 60` is one a minute).
        burst: how many units at once after a pause. Default: those of one second, and at least 1.
        concurrency: how many may hold the limit at the same time, however many units each has taken.
        daily: how many units on one day (UTC).

    Raises:
        ConfigurationError: a bound is wrong, or there is none.
    """

    name: str
    _: KW_ONLY
    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None
    daily: int | None = None

    def __post_init__(self) -> None:
        self._check()

    @property
    def most_at_once(self) -> int:
        """How many units can be had at once; 0 if there is no rate."""
        if self.rate is None:
            return 0
        return self.burst if self.burst is not None else max(1, math.ceil(self.rate))

    def _check(self) -> None:
        if not isinstance(self.name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"Limit({self.name!r}): the name is no text")
        if not 0 < len(self.name) <= LONGEST_NAME or not self.name.isprintable():
            raise ConfigurationError(
                f"Limit({self.name[:LONGEST_NAME]!a}): give a name of 1 to {LONGEST_NAME} printable characters"
            )
        if self.rate is None and self.concurrency is None and self.daily is None:
            raise ConfigurationError(f"Limit({self.name!r}): give a rate, a concurrency or a daily number of units")
        is_number = isinstance(self.rate, int | float | None)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not is_number or (self.rate is not None and not 0 < self.rate <= _MOST_RATE):
            raise ConfigurationError(
                f"Limit({self.name!r}, rate={self.rate!r}): give a number of units a second, "
                f"above 0 and at most {_MOST_RATE}"
            )
        if self.burst is not None and self.rate is None:
            raise ConfigurationError(f"Limit({self.name!r}, burst={self.burst}): a burst needs a rate")
        for field in ("burst", "concurrency", "daily"):
            value = getattr(self, field)
            if value is not None and not (isinstance(value, int) and 1 <= value <= _MOST):
                raise ConfigurationError(
                    f"Limit({self.name!r}, {field}={value}): give a whole number from 1 to {_MOST}"
                )


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken, because a limit is used up.

    Attributes:
        limit: the name of the limit that will be in the way for the longest time.
        seconds: when it is worth while to ask again. Askers get different times, so that they do not return at once.
    """

    limit: str
    seconds: float


def check_request(limits: Sequence[Limit], units: int, hold_seconds: float) -> None:
    """Check what somebody wants to take.

    Raises:
        ValueError: there are no limits or too many, two have one name, or a number is out of range.
    """
    if not isinstance(limits, Sequence) or not all(isinstance(limit, Limit) for limit in limits):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("take(limits=...): give a list of limits, such as [Limit('geocoder', rate=50)]")
    if not 1 <= len(limits) <= MOST_LIMITS:
        raise ValueError(f"take(limits=...): give 1 to {MOST_LIMITS} limits, not {len(limits)}")
    names = {limit.name for limit in limits}
    if len(names) < len(limits):
        raise ValueError("take(limits=...): two limits have the same name; give each of them once")
    if not isinstance(units, int) or not 1 <= units <= MOST_UNITS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"take(units={units!r}): give a whole number from 1 to {MOST_UNITS}")
    if not _SHORTEST_HOLD_S <= hold_seconds <= _LONGEST_HOLD_S:
        raise ValueError(
            f"take(hold_seconds={hold_seconds}): "
            f"give a number of seconds from {_SHORTEST_HOLD_S} to {_LONGEST_HOLD_S:g}"
        )


def check_closing(limits: Sequence[Limit], seconds: float) -> None:
    """Check for how long somebody wants to close limits.

    Raises:
        ValueError: there are no limits or too many, or the time is out of range.
    """
    check_number(limits, "close")
    if not 0 < seconds <= _LONGEST_HOLD_S:
        raise ValueError(f"close(seconds={seconds}): give a number above 0 and at most {_LONGEST_HOLD_S:g}")


def check_number(limits: Sequence[Limit], what: str) -> None:
    """Check how many limits the call of `what` is given.

    Raises:
        ValueError: there are none or too many.
    """
    if not 1 <= len(limits) <= MOST_LIMITS:
        raise ValueError(f"{what}(limits=...): give 1 to {MOST_LIMITS} limits, not {len(limits)}")
