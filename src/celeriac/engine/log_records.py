r"""Makes log lines of Celery and Celeriac safe to read: no value in them can begin a line of its own.

Celery logs results, arguments and names of tasks as they are. A result `"ok'\n[2026-11-28 09:00: INFO] paid"` would
read as two lines, and an escape sequence rewrites what a terminal shows. So control characters of each value are
escaped, its length is bounded, and `engine/tracebacks.py` formats tracebacks. This happens when the record is made, for
all handlers and formats. Records of the user's own code are left alone, but not those that Python itself writes about
failed tasks and threads.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from numbers import Number
from typing import Any, cast

from kombu.utils.encoding import safe_repr

from celeriac.core.printable import one_line, shortened, without_controls
from celeriac.engine.originals import original_of
from celeriac.engine.tracebacks import format_error

log = logging.getLogger("celeriac.engine")

#: Loggers whose records are made safe, except for those that tasks log to.
_OURS = ("celery", "celeriac", "kombu", "asyncio", "concurrent", "py.warnings")
_USERS = ("celery.task", "celery.redirected")
#: The most characters of one value in a line.
_LONGEST = 2_000


def install() -> None:
    """Make this process's log records safe. Can be called more than once."""
    make = logging.getLogRecordFactory()
    if getattr(make, "celeriac_safe", False):
        return

    def make_safe(name: str, *args: Any, **options: Any) -> logging.LogRecord:
        record = make(name, *args, **options)
        if name.startswith(_OURS) and not name.startswith(_USERS):
            _clean(record)
        return record

    cast(Any, make_safe).celeriac_safe = True
    logging.setLogRecordFactory(make_safe)
    if threading.excepthook is threading.__excepthook__:  # keep a hook of the user's
        threading.excepthook = log_end_of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable


def log_end_of_thread(told: threading.ExceptHookArgs) -> None:
    """Log an exception that ended a thread. Python would print it unescaped among the lines of the log."""
    if not issubclass(told.exc_type, SystemExit):
        name = told.thread.name if told.thread is not None else "?"
        log.error("thread %s has failed", name, exc_info=told.exc_value)


def _log_unraisable(told: sys.UnraisableHookArgs) -> None:
    log.error("%s: %r", told.err_msg or "an exception was ignored in", told.object, exc_info=told.exc_value)


class _Shown:
    """A value of a log line, which is made safe only when it is formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return _safe_text(str(self._value))

    def __repr__(self) -> str:
        return _safe_text(repr(self._value))


def _clean(record: logging.LogRecord) -> None:
    arguments = record.args
    if isinstance(record.exc_info, tuple) and (error := record.exc_info[1]) is not None:
        raised = original_of(error)
        record.exc_text = format_error(raised, record.exc_info[2])
        if raised is not error and isinstance(arguments, Mapping) and "exc" in arguments:
            arguments = {**arguments, "exc": safe_repr(raised)}
    if not arguments:
        record.msg = without_controls(_text_of(record.msg)).replace("\n", "\n    ")
    elif isinstance(arguments, Mapping):
        record.args = {name: _safe(value) for name, value in arguments.items()}
    else:
        record.args = tuple(map(_safe, arguments))


def _safe(value: object) -> Any:
    if type(value) is str:
        return _safe_text(value)
    return value if value is None or isinstance(value, Number) else _Shown(value)


def _safe_text(text: str) -> str:
    return one_line(shortened(text, _LONGEST))


def _text_of(message: object) -> str:
    """Return the text of a record's message, which may be any object, such as an exception."""
    try:
        return str(message)
    except Exception:
        return safe_repr(message)
