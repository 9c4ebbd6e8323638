"""The result backend: Celery's own on Redis, which tells `engine/outcomes.py` what came of tasks."""

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
from celeriac.store import chords, payloads
from celeriac.store.connection import BlockingClient
from celeriac.store.script import run_blocking

log = logging.getLogger("celeriac.engine")

#: Types of results that every encoder writes alike.
_PLAIN = (type(None), bool, int, str)
#: Says of a result, beside Celery's fields, that it is data: kombu's marks are not read in it.
_IS_DATA = "celeriac_data"
_DATA_MARK = f'"{_IS_DATA}"'.encode()
#: The same of a part of a chord; what Celery writes there is 1, and not read.
_PART, _DATA_PART = 1, 2
#: States of a task that may be running by now.
_BEFORE_A_RUN = frozenset({celery_states.PENDING, celery_states.RETRY})


class ResultBackend(RedisBackend):
    """Stores outcomes at Celery's keys in Celery's format, so that `AsyncResult`, chords and Flower work unchanged.

    What it does otherwise: it records the job's state, if the application keeps records; what runs again elsewhere is
    not overwritten by a late report, which leaves the mark `celeriac_refused` on its request; nothing is subscribed to
    while publishing, which costs stock Celery up to 19 s when the broker is absent.
    """

    _closed = False

    def __init__(self, *args: Any, app: Any = None, url: str | None = None, **options: Any) -> None:
        """As Celery's; without a URL, results are kept on the broker."""
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
        """How this application keeps what came of its tasks."""
        return outcomes_of(self)

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
        if self._closed or sys.is_finalizing():
            self._remove_pending_result(result)
            return result
        try:
            return super().remove_pending_result(result)
        except (RuntimeError, *self.connection_errors) as error:  # the former says that reconnecting was given up
            log.debug("could not unsubscribe from a result: %s", error)
            return result

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing: whoever waits for the result subscribes then."""

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """What is known of a task; that it runs is in the record of its job alone."""
        meta = super().get_task_meta(task_id, cache)
        if meta["status"] in _BEFORE_A_RUN and (worker := self.outcomes.worker_of(task_id)) is not None:
            return {**meta, "status": celery_states.STARTED, "result": {"hostname": worker}, "task_id": task_id}
        return meta

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = "SUCCESS"
    ) -> None:
        """Record success, also of a task whose result nobody wants."""
        if not store_result or getattr(request, "ignore_result", False):
            self._report_unwanted(task_id, state, request)
        super().mark_as_done(task_id, result, request=request, store_result=store_result, state=state)

    def mark_as_done_soon(self, task_id: str, result: Any, request: Any, wanted: bool) -> None:
        """The same for a task of the asyncio worker: written with its acknowledgement, unless it is in a chord.

        For one that is in a chord it waits, across the bridge: its outcome is stored before it is counted.
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
        """Record failure, also of a task whose result nobody wants; under the name of what was raised."""
        if (raised := original_of(exc)) is not exc:
            exc, traceback = raised, format_error(raised)
        if not store_result:
            self._report_unwanted(task_id, state, request, _failure(exc, traceback))
        super().mark_as_failure(task_id, exc, traceback, request, store_result, call_errbacks, state)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Any = None, store_result: bool = True, state: str = "REVOKED"
    ) -> None:
        """Record a cancellation, also of a task whose result nobody wants."""
        if not store_result:
            self._report_unwanted(task_id, state, request)
        super().mark_as_revoked(task_id, reason, request, store_result, state)

    def mark_as_ignored(self, request: Any) -> None:
        """Record the success of a task that has raised `Ignore`. At Celery's key stays what it has stored itself."""
        self._report_unwanted(request.id, celery_states.SUCCESS, request)

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Count the task in its chord, unless another run of it counts. The last one calls the callback."""
        if getattr(request, "celeriac_refused", False):
            return None
        if not self._is_last_part(request, state, result):
            return None
        # Counts it as well, but no part is counted twice (celery/backends/redis.py, CHORD_PART_RETURN_LUA).
        call_back = partial(super().on_chord_part_return, request, state, result, *args, **kwargs)
        return bridge.blocking(call_back)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail the callback of a chord; if that is itself a part of a chord, which Celery leaves waiting, count it."""
        ended = super().chord_error_from_stack(callback, exc)
        options = callback.options
        if options.get("chord") and options.get("task_id"):
            part = Context(options, id=options["task_id"], group=options.get("group_id"))
            self.on_chord_part_return(part, celery_states.FAILURE, exc)
        return ended

    def _is_last_part(self, request: Any, state: str, result: Any) -> bool:
        """Count the task in its chord; on the event loop, if it runs there and results are kept on the broker."""
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
            life=int(self.chord_expires or 0),
            group_life=int(self._chord_result_expires),
        )
        client = cast(BlockingClient, self.client)
        if self.is_on_broker:
            return endings.run(lambda: client, counting)
        return bridge.blocking(run_blocking, client, counting)

    def tell_end(self, task_id: str, *, cancelled: bool, cause: str) -> None:
        """A job has ended here without a report of ours: was cancelled before it ran, or lost with its workers."""
        if cast(Any, self.app).results_are_separate:
            outcome = payloads.cancelled_outcome(task_id) if cancelled else payloads.lost_outcome(task_id, cause)
            self.set(self.get_key_for_task(task_id), outcome)

    def repeat_chord_part(self, request: Any) -> None:
        """Count a task that has ended in its chord, if it is in one: its worker may have vanished just before that."""
        if request.chord:
            outcome = cast("dict[str, Any]", bridge.blocking(self.get_task_meta, request.id))
            if outcome["status"] in celery_states.READY_STATES:
                self.on_chord_part_return(request, outcome["status"], outcome["result"])

    def prepare_exception(self, exc: BaseException, serializer: Any = None) -> Any:
        """Encode as Celery does, in a bounded size; our own errors with what their constructors take."""
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
        """Make the error again, of its own class also where that takes other arguments than its message."""
        return remade(exc, super().exception_to_python(exc))

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **kwargs: Any
    ) -> Any:
        error = None
        if isinstance(result, BaseException):
            result = original_of(result)
            error = _failure(result, traceback)
            traceback = error.traceback  # in which Celery's own may be of any length
        try:
            return super().store_result(task_id, result, state, traceback, request=request, error=error, **kwargs)
        except self.connection_errors as failure:  # which it has tried to outlast
            raise NotStored.because_of(failure) from failure

    def outcome(
        self, task_id: str, result: Any, state: str, *, traceback: str | None = None, request: Any = None
    ) -> bytes:
        """The bytes that stand for `result` at Celery's key."""
        meta = {**self._get_result_meta(result=result, state=state, traceback=traceback, request=request)}
        if type(result) not in _PLAIN and self._is_data(request, state):
            meta[_IS_DATA] = True
        try:
            encoded = self.encode({**meta, "task_id": task_id})
        except BaseException as error:  # what a stranger's object raises there is its task's failure, and no more
            raise as_exception(error) from error
        return encoded.encode() if isinstance(encoded, str) else encoded

    def decode(self, payload: Any) -> Any:
        """Decode an outcome as Celery's readers do; what a typed job has returned is data, whatever it looks like."""
        payload = decompress_payload(payload)
        if isinstance(payload, bytes) and (_DATA_MARK in payload or payload.startswith(b"[2")):
            decoded = codec.loads(payload)
            if decoded.get(_IS_DATA) if isinstance(decoded, dict) else decoded[0] == _DATA_PART:
                return decoded
        return super().decode(payload)

    def _is_data(self, request: Any, state: str) -> bool:
        """Whether what a task has returned is JSON and nothing else: that of a typed job."""
        return state == celery_states.SUCCESS and getattr(request, "task", None) in getattr(self.app, "specs", ())

    def _success(self, task_id: str, result: Any, request: Any) -> bytes:
        """The outcome of a task that returned `result`. Plain results take a shorter way than Celery's encoder."""
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
        return codec.dumps({**meta, "task_id": task_id}, floats=False)  # of which a plain result is finite

    def _is_plain(self, result: Any) -> bool:
        """Whether JSON of our own encoder is what Celery's would be."""
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
        """Report the end of a task whose result is not stored; one that runs eagerly has ended for its caller alone."""
        if not getattr(request, "is_eager", False):
            self._report(Report(task_id, state, request, b"", error))

    def _report(self, report: Report) -> None:
        counts = self.outcomes.keep(report)
        if report.request is not None:
            report.request.celeriac_refused = not counts


def _failure(error: BaseException, traceback: str | None) -> Failure:
    return Failure.of(error, format_error(error) if frames_of(error) else traceback)
