"""The threads that call the storage."""

from __future__ import annotations

import threading

import pytest

from celeriac.storage.threads import _MOST_THREADS, _Pool  # pyright: ignore[reportPrivateUsage]

WAIT_S = 30.0


def test_threads_that_could_not_be_started_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, done = _Pool(), list[str]()
    with monkeypatch.context() as limits:
        limits.setattr(threading.Thread, "start", refused)
        for _ in range(_MOST_THREADS):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                pool.submit(done.append, "refused")
    pool.submit(done.append, "taken").result(WAIT_S)
    assert done == ["taken"]
