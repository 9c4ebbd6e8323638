"""The result backend: Celery's own on Redis, which writes the job record in the same step as the result."""

from __future__ import annotations

import logging
from typing import Any, cast

from celery import states as celery_states
from celery.backends.redis import RedisBackend
from celery.utils.serialization import ensure_serializable

from celeriac.core.errors import CeleriacError
from celeriac.core.records import Failure
from celeriac.core.states import FROM_CELERY, JobState
from celeriac.engine.tracebacks import format_error
from celeriac.store import jobs as store

log = logging.getLogger("celeriac.engine")

#: Seconds for which a finished job's outcome is held while the broker is absent, before the worker gives up on it.
OUTCOME_PATIENCE = 120.0


class ResultBackend(RedisBackend):
    """Stores outcomes at Celery's keys in Celery's format, so that `AsyncResult`, chords and Flower work unchanged.

    What it does otherwise: it records the job's state; a job that has ended, or runs again elsewhere, is not
    overwritten by a late report; nothing is subscribed to while publishing, which costs stock Celery up to 19 s when
    the broker is absent.

    It leaves two marks on a task's request: `celeriac_refused` if its report came too late, and reads
    `celeriac_retrying`, which says that its retry has been recorded already.
    """

    _closed = False

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        # Celery cuts `redis+` off the URL of a unix socket, but of ours it has cut the name of this class.
        params = super()._params_from_url(url.removeprefix("redis+"), defaults)
        if "path" in params:
            params.pop("socket_keepalive", None)  # which redis-py does not take for a unix socket
        return params

    def close(self) -> None:
        """Close all connections. Results can still be forgotten, which Celery does when they are garbage-collected."""
        self._closed = True
        self.result_consumer.stop()
        self.client.connection_pool.disconnect()

    def remove_pending_result(self, result: Any) -> Any:
        """Stop waiting for `result`. Never fails, for nobody would hear: Celery calls it from `AsyncResult.__del__`."""
        if self._closed:
            self._remove_pending_result(result)
            return result
        try:
            return super().remove_pending_result(result)
        except (RuntimeError, *self.connection_errors) as error:  # the former says that reconnecting was given up
            log.debug("could not unsubscribe from a result: %s", error)
            return result

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing: whoever waits for the result subscribes then."""

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = "SUCCESS"
    ) -> None:
        """Record success, also of a task whose result nobody wants."""
        if not store_result or getattr(request, "ignore_result", False):
            self._record_alone(task_id, state, request)
        super().mark_as_done(task_id, result, request=request, store_result=store_result, state=state)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException,
        traceback: str | None = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = "FAILURE",
    ) -> None:
        """Record failure, also of a task whose result nobody wants."""
        if not store_result:
            self._record_alone(task_id, state, request, _failure(exc, traceback))
        super().mark_as_failure(task_id, exc, traceback, request, store_result, call_errbacks, state)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Any = None, store_result: bool = True, state: str = "REVOKED"
    ) -> None:
        """Record a cancellation, also of a task whose result nobody wants."""
        if not store_result:
            self._record_alone(task_id, state, request)
        super().mark_as_revoked(task_id, reason, request, store_result, state)

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Count the task in its chord, unless another run of it counts."""
        if not getattr(request, "celeriac_refused", False):
            return super().on_chord_part_return(request, state, result, *args, **kwargs)
        return None

    def repeat_chord_part(self, request: Any) -> None:
        """Count a task that has ended in its chord, if it is in one: its worker may have vanished just before that.

        A part that has been counted is not counted twice (celery/backends/redis.py, CHORD_PART_RETURN_LUA).
        """
        if request.chord:
            outcome = cast("dict[str, Any]", self.get_task_meta(request.id))
            if outcome["status"] in celery_states.READY_STATES:
                super().on_chord_part_return(request, outcome["status"], outcome["result"])

    def prepare_exception(self, exc: BaseException, serializer: Any = None) -> Any:
        """Encode so that our own errors can be made again from it, with what their constructors take."""
        prepared = super().prepare_exception(exc, serializer)
        if isinstance(exc, CeleriacError) and isinstance(prepared, dict):
            prepared["exc_message"] = ensure_serializable(cast(Any, exc.__reduce__())[1], self.encode)
        return cast(Any, prepared)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **kwargs: Any
    ) -> Any:
        error = _failure(result, traceback) if isinstance(result, BaseException) else None
        return super().store_result(task_id, result, state, traceback, request=request, error=error, **kwargs)

    def outcome(
        self, task_id: str, result: Any, state: str, *, traceback: str | None = None, request: Any = None
    ) -> bytes:
        """The bytes that stand for `result` at Celery's key."""
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        encoded = self.encode({**meta, "task_id": task_id})
        return encoded.encode() if isinstance(encoded, str) else encoded

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        error: Failure | None = None,
        **_: Any,
    ) -> Any:
        outcome = self.outcome(task_id, result, state, traceback=traceback, request=request)
        users_own_state = state not in FROM_CELERY
        if users_own_state or cast(Any, self.app).results_are_separate:
            self.set(self.get_key_for_task(task_id), outcome)  # stored first, then recorded as the job's end
            outcome = b""
        recorded = state == celery_states.RETRY and getattr(request, "celeriac_retrying", False)
        if not users_own_state and not recorded:
            self._record(task_id, state, request, outcome=outcome, error=error)
        return result

    def _record_alone(self, task_id: str, state: str, request: Any, error: Failure | None = None) -> None:
        """Record the end of a task whose result is not stored; one that runs eagerly has no record."""
        if not getattr(request, "is_eager", False):
            self._record(task_id, state, request, error=error)

    def _record(
        self, task_id: str, state: str, request: Any, *, outcome: bytes = b"", error: Failure | None = None
    ) -> None:
        app = cast(Any, self.app)
        job_state = FROM_CELERY[state]
        # Celery also reports for requests that are none: of tasks that it does not know, it makes up a few fields.
        task: str | None = getattr(request, "task", None) or getattr(request, "name", None)
        call = store.transition(
            task_id,
            job_state,
            parent_id=getattr(request, "parent_id", None),
            outcome=outcome,
            error=None if job_state is JobState.CANCELLED else error,
            run=getattr(request, "celeriac_run", None),
            attempt=None if request is None else (getattr(request, "retries", None) or 0) + 1,
            fields={"task": task} if task else None,
            retention_ms=app.retention_ms,
        )
        moved = app.records.run(call, patience=OUTCOME_PATIENCE)
        if request is not None:
            request.celeriac_refused = not moved


def _failure(error: BaseException, traceback: str | None) -> Failure:
    return Failure.of(error, format_error(error) if error.__traceback__ else traceback)
