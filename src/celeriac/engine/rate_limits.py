"""Applies rate limits without holding up other tasks.

Celery keeps tasks over their limit in the worker, where each takes up room until it may begin. With a few of them, the
worker takes nothing else from the queue. Here such a task goes back to the broker until its turn. The limits are
Celery's: per task and worker, and `control.rate_limit` changes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from celeriac.core.clock import now_ms
from celeriac.engine.lease import Lease
from celeriac.engine.transport import is_receipt
from celeriac.store.redis.errors import SERVER_ERRORS

log = logging.getLogger("celeriac.engine")

#: How long a task that comes back a little too early may wait in the worker, so that it need not go to the broker
#: again: at most this many seconds, and at most this part of the time between two tasks of its name.
_MOMENT_S, _PART = 0.1, 0.25
#: How late a task may come to its turn without delaying those behind it.
_LATE_S = 0.25


class Line:
    """Schedules the tasks of one name by their rate limit.

    Each new task gets a turn behind the others. It waits for its turn on the broker, where any worker may take it then.
    A task that has waited, but still comes too early for this worker, goes before all that have not waited yet.
    """

    def __init__(self, rate: float) -> None:
        """`rate` is how many tasks may begin in a second."""
        self.rate = rate
        self.interval = 1 / rate
        self._free = 0.0  # when the next task may begin, on the monotonic clock
        self._last_turn = self._last_return = -self.interval  # the last turns given to new and to returning tasks

    def admit(self, has_waited: bool) -> float:
        """Return in how many seconds a task may begin, 0 for now. If it may begin soon enough, count it as begun."""
        now = monotonic()
        wait = max(0.0, self._free - now)
        if not has_waited:  # a new task goes behind all that wait
            wait = max(wait, self._last_turn + self.interval - now)
        if wait == 0 or (has_waited and self.is_a_moment(wait)):
            # A task that comes late to its turn does not delay the next turn, as turns have the right distance already.
            since = max(self._free, now - _LATE_S) if has_waited else now
            self._free = since + self.interval
        return wait

    def is_a_moment(self, seconds: float) -> bool:
        """Return whether a task may wait for that time in the worker, where it takes up room."""
        return seconds <= min(_MOMENT_S, _PART * self.interval)

    def turn(self, has_waited: bool) -> float:
        """Take the next turn, and return in how many seconds it comes."""
        now = monotonic()
        last = self._last_return if has_waited else self._last_turn
        turn = max(now, self._free, last + self.interval)
        if has_waited:
            self._last_return = turn
        else:
            self._last_turn = turn
        return turn - now


class RateLimits:
    """The rate limits of one worker. Celery makes a new bucket for a task whose limit is changed."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._lines: dict[str, Line] = {}

    def admits(self, message: Any, name: str, let_in: Callable[[Any], None]) -> bool:
        """Return whether a message may run now. If not, put it off, or call `let_in` in a moment."""
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
    """Return the limits of all tasks that have one, in tasks per second."""
    return {name: bucket.fill_rate for name, bucket in buckets.items() if bucket is not None}


def recall(lease: Lease, names: set[str], queues: list[str]) -> None:
    """Bring back the messages of tasks whose limit has changed, in a thread of its own, since it blocks."""

    def run() -> None:
        for queue in queues:
            for name in names:
                try:
                    lease.hold.recall(queue, name)
                except SERVER_ERRORS as error:
                    log.warning(
                        "tasks %s that wait on the broker keep the turns of their former rate limit (%s)",
                        name,
                        type(error).__name__,
                    )

    if names and queues:
        threading.Thread(target=run, name="celeriac-recall", daemon=True).start()
