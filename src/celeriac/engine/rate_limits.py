"""Rate limits that hold up nothing else.

Celery keeps the tasks over a limit in the worker, where each takes a place until it may begin; with a few of them
nothing else is taken from the queue. Here such a task goes back to the broker until its turn. The limits are Celery's:
of each task, for each worker, and `control.rate_limit` changes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from celeriac.core.clock import now_ms
from celeriac.engine.lease import Lease
from celeriac.engine.transport import is_receipt

log = logging.getLogger("celeriac.engine")

#: Seconds for which a task that has had its turn on the broker waits in the worker at most, and that as a part of the
#: time between two of its kind: what comes back a little too early would else go back again.
_MOMENT, _PART = 0.1, 0.25
#: Seconds by which one may come late to its turn without those behind it having to wait.
_LATE = 0.25


class Line:
    """Who begins when, of the tasks of one name.

    Each that comes is given its turn behind the others. It waits for it on the broker, where any worker may take it.
    One whose turn has come, and is too early for this worker's limit, goes before those that have yet to wait.
    """

    def __init__(self, rate: float) -> None:
        """`rate` is how many may begin in a second."""
        self.rate = rate
        self.interval = 1 / rate
        self._free = 0.0  # when the next one may begin, on the monotonic clock
        self._last_turn = self._last_return = -self.interval  # the last that was given

    def admit(self, has_waited: bool) -> float:
        """0 if a task may begin now; else the seconds in which it may. It is counted as begun if that is a moment."""
        now = monotonic()
        wait = max(0.0, self._free - now)
        if not has_waited:  # behind all that wait
            wait = max(wait, self._last_turn + self.interval - now)
        if wait == 0 or (has_waited and self.is_a_moment(wait)):
            # Who comes late to a turn leaves the next one's where it is: turns are as far apart as they have to be.
            since = max(self._free, now - _LATE) if has_waited else now
            self._free = since + self.interval
        return wait

    def is_a_moment(self, seconds: float) -> bool:
        """Whether a task may wait for so long where it is in the way of others."""
        return seconds <= min(_MOMENT, _PART * self.interval)

    def turn(self, has_waited: bool) -> float:
        """The seconds until the next turn, which is taken."""
        now = monotonic()
        last = self._last_return if has_waited else self._last_turn
        turn = max(now, self._free, last + self.interval)
        if has_waited:
            self._last_return = turn
        else:
            self._last_turn = turn
        return turn - now


class RateLimits:
    """Those of one worker. `buckets` are Celery's, which has a new one for a task whose limit is changed."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._lines: dict[str, Line] = {}

    def admits(self, message: Any, name: str, let_in: Callable[[Any], None]) -> bool:
        """Whether a message may be run now; if not, it is put off, or `let_in` in a moment."""
        consumer = self._consumer
        bucket = consumer.task_buckets[name]
        if bucket is None or consumer.disable_rate_limits or not is_receipt(message.delivery_tag):
            return True
        line = self._lines.get(name)
        if line is None or line.rate != bucket.fill_rate:
            line = self._lines[name] = Line(bucket.fill_rate)
        has_waited = bool(message.delivery_info.get("celeriac_limited"))
        wait = line.admit(has_waited)
        if wait > 0 and not (has_waited and line.is_a_moment(wait)):
            due = now_ms() + int(1000 * line.turn(has_waited)) + 1
            message.channel.put_off(message.delivery_tag, due, limited=name)
            return False
        message.is_admitted = True
        if wait > 0:
            consumer.call_after(wait, lambda: let_in(message))
        return wait == 0


def limits_of(buckets: dict[str, Any]) -> dict[str, float]:
    """The limits, tasks a second, of all tasks that have one."""
    return {name: bucket.fill_rate for name, bucket in buckets.items() if bucket is not None}


def recall(lease: Lease, names: set[str], queues: list[str]) -> None:
    """Bring back those of these tasks that were put off, whose limit has changed; in a thread of its own."""

    def run() -> None:
        for queue in queues:
            for name in names:
                try:
                    lease.holder.recall(queue, name)
                except (RedisError, OSError) as error:
                    log.warning("tasks %s that wait for their turn keep it (%s)", name, type(error).__name__)

    if names and queues:
        threading.Thread(target=run, name="celeriac-recall", daemon=True).start()
