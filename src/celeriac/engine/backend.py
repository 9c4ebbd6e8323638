"""The result backend: Celery's own on Redis, which hands the outcomes of tasks to `engine/outcomes.py`."""

from __future__ import annotations

import logging
import math
import sys
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, cast

from celery import states as celery_states
from celery.app.task import Context
from celery.backends.base import EXCEPTION_ABLE_CODECS, decompress_payload
from celery.backends.redis import RedisBackend

from celeriac.core import codec
from celeriac.core.errors import CeleriacError
from celeriac.core.printable import frames_of, message_of
from celeriac.core.records import MESSAGE_LIMIT, Failure
from celeriac.engine import bridge
from celeriac.engine.adoption import broker_url_of
from celeriac.engine.aio import endings
from celeriac.engine.containment import as_exception
from celeriac.engine.error_arguments import kept_arguments
from celeriac.engine.originals import original_of, remade
from celeriac.engine.outcomes import Outcomes, Report, outcomes_of
from celeriac.engine.tracebacks import format_error
from celeriac.engine.unstored import NotStored
from celeriac.store.jobs import chords, payloads
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.runner import run_blocking

log = logging.getLogger("celeriac.engine")

#: Types of results that all encoders write alike.
_PLAIN = (type(None), bool, int, str)
#: A field beside Celery's, which says that the result is plain data: kombu's type marks are not decoded in it.
_IS_DATA = "celeriac_data"
_DATA_MARK = f'"{_IS_DATA}"'.encode()
#: The same for a part of a chord, in a field where Celery writes 1, and which it does not read.
_PART, _DATA_PART = 1, 2
#: Stored states of a task that may be running by now.
_BEFORE_A_RUN = frozenset({celery_states.PENDING, celery_states.RETRY})


class ResultBackend(RedisBackend):
    """Stores outcomes at Celery's keys in Celery's format, so that `AsyncResult`, chords and Flower work unchanged.

    It differs from Celery's in three ways. It records the job's state, if the application keeps records. It refuses a
    late outcome of a task that another worker runs by now, and marks the request with `celeriac_refused`. It does not
    subscribe to a result while publishing, which takes stock Celery up to 19 s when the broker is absent.
    """

    _closed = False

    def __init__(self, *args: Any, app: Any = None, url: str | None = None, **options: Any) -> None:
        """Take Celery's arguments. Without a URL, results are kept on the broker."""
        super().__init__(*args, app=app, url=url or broker_url_of(app), **options)

    @cached_property
    def is_on_broker(self) -> bool:
        """Whether results are kept in the same database as messages."""
        conf = cast(Any, self.app).conf
        return self.url in (conf.broker_write_url, conf.broker_url)

    @property
    def is_quick(self) -> bool:
        """Whether the asyncio worker need not wait to store an outcome."""
        return self.is_on_broker

    @cached_property
    def outcomes(self) -> Outcomes:
        """Stores the outcomes of this application's tasks."""
        return outcomes_of(self)

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        # Celery removes one prefix of a unix socket's URL. Here that was this class's name, so `redis+` is still there.
        params = super()._params_from_url(url.removeprefix("redis+"), defaults)
        if "path" in params:
            params.pop("socket_keepalive", None)  # redis-py does not accept it for a unix socket
        return params

    def close(self) -> None:
        """Close all connections. `remove_pending_result` still works, for results that are garbage-collected later."""
        self._closed = True
        self.result_consumer.stop()
        self.client.connection_pool.disconnect()

    def remove_pending_result(self, result: Any) -> Any:
        """Stop waiting for `result`. Never fails, because Celery calls it from `AsyncResult.__del__`."""
        if self._closed or sys.is_finalizing():
            self._remove_pending_result(result)
            return result
        try:
            return super().remove_pending_result(result)
        except (RuntimeError, *self.connection_errors) as error:  # Celery raises the first when it stops reconnecting
            log.debug("could not unsubscribe from a result: %s", error)
            return result

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing: code that waits for the result subscribes later."""

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """Return what is stored for a task. `STARTED` comes from the job's record, which alone says that it runs."""
        meta = super().get_task_meta(task_id, cache)
        if meta["status"] in _BEFORE_A_RUN and (worker := self.outcomes.worker_of(task_id)) is not None:
            return {**meta, "status": celery_states.STARTED, "result": {"hostname": worker}, "task_id": task_id}
        return meta

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = "SUCCESS"
    ) -> None:
        """Record success, also of a task whose result is ignored."""
        if not store_result or getattr(request, "ignore_result", False):
            self._report_unwanted(task_id, state, request)
        super().mark_as_done(task_id, result, request=request, store_result=store_result, state=state)

    def mark_as_done_soon(self, task_id: str, result: Any, request: Any, wanted: bool) -> None:
        """Record success in the asyncio worker, which writes it with the acknowledgement.

        A part of a chord is different: its outcome must be stored before it is counted. Call this across the bridge
        then, because it waits for the broker.
        """
        outcome = self._success(task_id, result, request) if wanted else b""
        self._report(Report(task_id, celery_states.SUCCESS, request, outcome, None))
        if request.chord:
            self.on_chord_part_return(request, celery_states.SUCCESS, result)

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
        """Record failure, also of a task whose result is ignored, under the class of the error that was raised."""
        if (raised := original_of(exc)) is not exc:
            exc, traceback = raised, format_error(raised)
        if not store_result:
            self._report_unwanted(task_id, state, request, _failure(exc, traceback))
        super().mark_as_failure(task_id, exc, traceback, request, store_result, call_errbacks, state)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Any = None, store_result: bool = True, state: str = "REVOKED"
    ) -> None:
        """Record a cancellation, also of a task whose result is ignored."""
        if not store_result:
            self._report_unwanted(task_id, state, request)
        super().mark_as_revoked(task_id, reason, request, store_result, state)

    def mark_as_ignored(self, request: Any) -> None:
        """Record the success of a task that raised `Ignore`. A result that the task stored itself stays."""
        self._report_unwanted(request.id, celery_states.SUCCESS, request)

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Count the task in its chord, unless its outcome was refused. The last part calls the chord's callback."""
        if getattr(request, "celeriac_refused", False):
            return None
        if not self._is_last_part(request, state, result):
            return None
        # Celery's method counts the part again without effect (celery/backends/redis.py, CHORD_PART_RETURN_LUA).
        call_back = partial(super().on_chord_part_return, request, state, result, *args, **kwargs)
        return bridge.blocking(call_back)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail the callback of a chord. If it is itself part of a chord, count it there, which Celery does not."""
        ended = super().chord_error_from_stack(callback, exc)
        options = callback.options
        if options.get("chord") and options.get("task_id"):
            part = Context(options, id=options["task_id"], group=options.get("group_id"))
            self.on_chord_part_return(part, celery_states.FAILURE, exc)
        return ended

    def _is_last_part(self, request: Any, state: str, result: Any) -> bool:
        """Count the task in its chord, and return whether it is the last part. Does not block the event loop."""
        task_id, group_id, place = request.id, request.group, request.group_index
        if not task_id or not group_id:
            return False
        key = partial(self.get_key_for_group, group_id)
        kind = _DATA_PART if self._is_data(request, state) else _PART
        part = chords.ChordPart(
            task_id,
            self.encode([kind, task_id, state, self.encode_result(result, state)]),
            "+inf" if place is None else str(place),
            self._chord_zset,
        )
        counting = chords.count(
            chords.ChordKeys(*(key(suffix).decode() for suffix in (".j", ".t", ".s", ".d", "", ".c"))),
            part,
            life_s=int(self.chord_expires or 0),
            group_life_s=int(self._chord_result_expires),
        )
        client = cast(BlockingClient, self.client)
        if self.is_on_broker:
            return endings.run(lambda: client, counting)
        return bridge.blocking(run_blocking, client, counting)

    def tell_end(self, task_id: str, *, cancelled: bool, cause: str) -> None:
        """Store the outcome of a job that ended without a run: cancelled before it began, or lost with its workers."""
        if cast(Any, self.app).results_are_separate:
            outcome = payloads.cancelled_outcome(task_id) if cancelled else payloads.lost_outcome(task_id, cause)
            self.set(self.get_key_for_task(task_id), outcome)

    def repeat_chord_part(self, request: Any) -> None:
        """Count an ended task in its chord, if any. Its worker may have vanished just before it counted it."""
        if request.chord:
            outcome = cast("dict[str, Any]", bridge.blocking(self.get_task_meta, request.id))
            if outcome["status"] in celery_states.READY_STATES:
                self.on_chord_part_return(request, outcome["status"], outcome["result"])

    def prepare_exception(self, exc: BaseException, serializer: Any = None) -> Any:
        """Encode an exception as Celery does, in a bounded size. Celeriac's errors keep all their arguments."""
        if (serializer or self.serializer) in EXCEPTION_ABLE_CODECS:
            return super().prepare_exception(exc, serializer)
        arguments = cast(Any, exc.__reduce__())[1] if isinstance(exc, CeleriacError) else exc.args
        if not arguments and (message := message_of(exc, MESSAGE_LIMIT)):
            arguments = (message,)
        kind = type(exc)
        return {
            "exc_type": kind.__qualname__,
            "exc_message": kept_arguments(arguments, self.encode),
            "exc_module": kind.__module__,
        }

    def exception_to_python(self, exc: Any) -> Any:
        """Make the exception again, also one whose class takes other arguments than a message."""
        return remade(exc, super().exception_to_python(exc))

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **kwargs: Any
    ) -> Any:
        error = None
        if isinstance(result, BaseException):
            result = original_of(result)
            error = _failure(result, traceback)
            traceback = error.traceback  # Celery's own may be of any length
        try:
            return super().store_result(task_id, result, state, traceback, request=request, error=error, **kwargs)
        except self.connection_errors as failure:  # still, after Celery's own retries
            raise NotStored.because_of(failure) from failure

    def outcome(
        self, task_id: str, result: Any, state: str, *, traceback: str | None = None, request: Any = None
    ) -> bytes:
        """Encode `result` for Celery's key."""
        meta = {**self._get_result_meta(result=result, state=state, traceback=traceback, request=request)}
        if type(result) not in _PLAIN and self._is_data(request, state):
            meta[_IS_DATA] = True
        try:
            encoded = self.encode({**meta, "task_id": task_id})
        except BaseException as error:  # the user's object may raise anything, which must only fail its task
            raise as_exception(error) from error
        return encoded.encode() if isinstance(encoded, str) else encoded

    def decode(self, payload: Any) -> Any:
        """Decode an outcome as Celery does. The result of a typed job is plain data, even if it looks like a mark."""
        payload = decompress_payload(payload)
        if isinstance(payload, bytes) and (_DATA_MARK in payload or payload.startswith(b"[2")):
            decoded = codec.loads(payload)
            if decoded.get(_IS_DATA) if isinstance(decoded, dict) else decoded[0] == _DATA_PART:
                return decoded
        return super().decode(payload)

    def _is_data(self, request: Any, state: str) -> bool:
        """Return whether the result is plain JSON, as that of a typed job is."""
        return state == celery_states.SUCCESS and getattr(request, "task", None) in getattr(self.app, "specs", ())

    def _success(self, task_id: str, result: Any, request: Any) -> bytes:
        """Encode the outcome of a task that returned `result`. Plain results bypass Celery's slower encoder."""
        if self._is_extended or not self._is_plain(result):
            encoded = self.encode_result(result, celery_states.SUCCESS)
            return self.outcome(task_id, encoded, celery_states.SUCCESS, request=request)
        meta: dict[str, Any] = {
            "status": celery_states.SUCCESS,
            "result": result,
            "traceback": None,
            "children": self.current_task_children(request),
            "date_done": datetime.now(UTC).isoformat(),
        }
        if request.group:
            meta["group_id"] = request.group
        if request.parent_id:
            meta["parent_id"] = request.parent_id
        return codec.dumps({**meta, "task_id": task_id}, floats=False)  # `_is_plain` has excluded NaN and infinity

    def _is_plain(self, result: Any) -> bool:
        """Return whether Celeriac's encoder writes the same JSON as Celery's."""
        if self.serializer != "json":
            return False
        return type(result) in _PLAIN or (type(result) is float and math.isfinite(result))

    @cached_property
    def _is_extended(self) -> bool:
        return bool(cast(Any, self.app).conf.find_value_for_key("extended", "result"))

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
        self._report(Report(task_id, state, request, outcome, error))
        return result

    def _report_unwanted(self, task_id: str, state: str, request: Any, error: Failure | None = None) -> None:
        """Report the end of a task whose result is not stored. Eager runs are not reported, as they have no record."""
        if not getattr(request, "is_eager", False):
            self._report(Report(task_id, state, request, b"", error))

    def _report(self, report: Report) -> None:
        counts = self.outcomes.keep(report)
        if report.request is not None:
            report.request.celeriac_refused = not counts


def _failure(error: BaseException, traceback: str | None) -> Failure:
    return Failure.of(error, format_error(error) if frames_of(error) else traceback)
