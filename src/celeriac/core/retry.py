"""Decides whether another attempt follows a failed one, and after how long."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from celeriac.core.errors import ConfigurationError, InvalidArguments, InvalidResult, RetryAfter, RunLater

ExceptionTypes = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A retry policy: exponential backoff with equal jitter.

    The delay before attempt `n + 1` is random, from the upper half of `backoff * factor ** (n - 1)`, bounded by
    `max_delay` ("equal jitter", Marc Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015). So many
    failed jobs spread out, and none returns at once.

    Attributes:
        attempts: the greatest number of runs, including the first.
        backoff: seconds before the second attempt, without jitter.
        factor: growth of the delay from one attempt to the next.
        max_delay: the longest delay in seconds.
        jitter: whether delays are random; without it they are exact.
        on: errors that are worth another attempt.
        never: errors that are not, even if `on` has a base class of theirs.
    """

    attempts: int = 5
    backoff: float = 1.0
    factor: float = 2.0
    max_delay: float = 300.0
    jitter: bool = True
    on: ExceptionTypes = (Exception,)
    never: ExceptionTypes = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError(f"Retry(attempts={self.attempts}): at least 1 attempt is needed")
        for name in ("backoff", "max_delay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigurationError(f"Retry({name}={getattr(self, name)}): give a finite number, 0 or more")
        if not 1 <= self.factor < math.inf:
            raise ConfigurationError(
                f"Retry(factor={self.factor}): give a number of 1 or more; else delays would shrink"
            )

    def delay_after(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds until the attempt after `attempt` (counted from 1), or None if none follows.

        After `RunLater`, which is no failure, the same attempt is made again.
        """
        if isinstance(error, RunLater):
            return max(0.0, error.seconds)
        if attempt >= self.attempts:
            return None
        if isinstance(error, RetryAfter):
            return max(0.0, error.seconds)
        if isinstance(error, (InvalidArguments, InvalidResult, *self.never)) or not isinstance(error, self.on):
            return None
        try:
            delay = min(self.max_delay, self.backoff * float(self.factor) ** (attempt - 1))
        except OverflowError:  # a policy with attempts=5000, for example
            delay = self.max_delay if self.backoff else 0.0
        return delay * random.uniform(0.5, 1.0) if self.jitter else delay  # noqa: S311 (spreading, not secrecy)


NO_RETRY = Retry(attempts=1)
