"""Works with result backends of Celery's: a database, files, another kind of Redis, or none at all.

A Celeriac application keeps results beside its job records as always, and stores a copy in such a backend. A plain
Celery application stores its results only there. The asyncio worker waits without blocking its event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar, cast

from billiard.exceptions import WorkerLostError
from celery import states as celery_states
from celery.backends.base import Backend
from celery.exceptions import TaskRevokedError

from celeriac.engine import bridge
from celeriac.engine.backend import ResultBackend
from celeriac.engine.outcomes import is_overtaken
from celeriac.engine.unstored import insist

T = TypeVar("T")


class CopyingBackend(ResultBackend):
    """Celeriac's result backend on the broker, which first hands each outcome to one of Celery's."""

    def __init__(self, *, app: Any, elsewhere: Any) -> None:
        super().__init__(app=app)
        self.elsewhere = elsewhere
        self._lock = threading.RLock()

    @property
    def is_quick(self) -> bool:
        """False, because the worker waits for the other backend."""
        return False

    def as_uri(self, include_password: bool = False) -> str:
        """Return the URI of the other backend, which the application is configured with."""
        return self.elsewhere.as_uri(include_password)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store the copy, then the outcome itself. Store neither if another worker has the message now."""
        if _is_refused(self.app, request):
            return result
        self._copy(task_id, result, state, traceback=traceback, request=request)
        return super().store_result(task_id, result, state, traceback, request, **kwargs)

    def tell_end(self, task_id: str, *, cancelled: bool, cause: str) -> None:
        """Copy the end of a job that a script recorded without this backend."""
        error = TaskRevokedError(cause) if cancelled else WorkerLostError(cause)
        self._copy(task_id, error, celery_states.REVOKED if cancelled else celery_states.FAILURE)

    def _copy(self, task_id: str, *args: Any, **options: Any) -> None:
        store = partial(_with_lock, self._lock, self.elsewhere.store_result, task_id, *args, **options)
        insist(partial(bridge.blocking, store), task_id)


class AwaitedBackend(Backend):
    """A mixin that a worker adds to the class of a plain application's backend."""

    is_quick = False
    celeriac_lock: threading.RLock  # pyright: ignore[reportInvalidTypeForm]

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store an outcome in a thread, unless another worker has the message now."""
        if _is_refused(self.app, request):
            return result
        store = partial(super().store_result, task_id, result, state, traceback, request=request, **kwargs)
        return insist(partial(self._wait_for, store), task_id)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> Any:
        """Count a part of a chord in a thread, unless its outcome was refused."""
        if getattr(request, "celeriac_refused", False):
            return None
        return self._wait_for(partial(super().on_chord_part_return, request, state, result, **kwargs))

    def _wait_for(self, function: Callable[[], T]) -> T:
        return bridge.blocking(partial(_with_lock, self.celeriac_lock, function))


def awaited(backend: Any) -> Any:
    """Make a backend of Celery's store without blocking the event loop. Changes its class, and returns the object."""
    if not isinstance(backend, ResultBackend | AwaitedBackend):
        backend.celeriac_lock = threading.RLock()
        backend.__class__ = _awaited_class(type(backend))
    return backend


@cache
def _awaited_class(celerys: type[Any]) -> type[Any]:
    return cast("type[Any]", type(celerys.__name__, (AwaitedBackend, celerys), {"__module__": celerys.__module__}))


def _is_refused(app: Any, request: Any) -> bool:
    """Return whether another run of the task has replaced this one. If so, mark its request."""
    is_refused = is_overtaken(app, request)
    if is_refused:
        request.celeriac_refused = True
    return is_refused


def _with_lock(lock: Any, function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call `function` under the lock, because few of these backends may be used by several threads."""
    with lock:
        return function(*args, **options)
