"""The threads that the guard of a worker watches. One that has not begun is not alive, but has not ended either."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import redis

from celeriac.core import background
from celeriac.engine.lease import Lease
from celeriac.engine.loop import JobLoop


def starting(watched: JobLoop | Lease, start: Callable[[], object], patch: pytest.MonkeyPatch) -> list[bool]:
    """Call `start`, and return what `watched` says of itself just before its thread begins."""
    seen: list[bool] = []
    patch.setattr(threading.Thread, "start", lambda _: seen.append(watched.has_ended))
    start()
    return seen


def test_the_loop_of_the_jobs_has_not_ended_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_shared", None)  # which the new loop sets
    loop = JobLoop()

    def start() -> None:
        loop.loop.close()

    assert starting(loop, start, monkeypatch) == [False]


def test_the_lease_of_a_worker_has_not_ended_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(redis.Redis(port=1), 15)
    assert starting(lease, lease.keep, monkeypatch) == [False]
