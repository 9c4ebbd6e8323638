"""Formats tracebacks for their readers: the user's own frames, in a text of bounded length.

Python's own formatter has no bounds. Here an error's causes, the members of a group and the frames are counted first.
Only those that will be shown are formatted.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import billiard
import celery
import greenlet
import kombu

from celeriac import client, core, engine, store
from celeriac.core.errors import CeleriacError
from celeriac.core.printable import frames_of, message_of, name_of, shortened, without_controls
from celeriac.core.records import MESSAGE_LIMIT, TRACEBACK_LIMIT

#: How many are shown of an error's frames, a chain's errors, a group's members, and notes: (first ones, last ones).
_FRAMES, _CHAIN, _MEMBERS, _NOTES = (20, 30), (6, 4), (8, 2), (8, 2)
#: The most errors shown in all, since groups may contain chains of groups.
_ERRORS = 40
#: How deeply groups inside groups are shown.
_DEPTH = 4
#: The most links of a chain of causes that are followed. Python itself makes no longer chains.
_LINKS = 100_000

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
#: Errors for which Python's formatter adds "Did you mean ...?", or the line of a syntax error.
_HELPFUL = (SyntaxError, NameError, AttributeError, ImportError)

log = logging.getLogger("celeriac.engine")


def _folder(package: Any) -> str:
    return str(Path(str(package.__file__)).parent)


#: The sources of frames between the worker and the job.
_MACHINERY = (
    *map(_folder, (engine, core, client, store, celery, kombu, billiard, greenlet, asyncio, concurrent.futures)),
    str(threading.__file__),
    "<frozen",
)


def format_error(error: BaseException, frames: TracebackType | None = None) -> str:
    """Format the traceback of `error` much as Python does, in at most 32,000 characters.

    Frames of the code that called the job are folded into one line, unless Celeriac logs at level DEBUG, or that code
    itself is at fault. An error that stands for one of another process has that one's traceback, as text. Messages of
    several lines are indented, so that no line of them can pass for a line of the log.

    Args:
        error: the error. Its `__str__` is called once.
        frames: the frames to show. Default: those of `error` itself.
    """
    try:
        text = _formatted(error, frames)
    except BaseException:  # the methods of a user's exception class may raise anything
        text = f"{name_of(error)}: {message_of(error, MESSAGE_LIMIT)}".replace("\n", "\n    ")
        text += "\n    (its traceback cannot be shown)\n"
    return shortened(without_controls(text), TRACEBACK_LIMIT, tail=0.6)


def _formatted(error: BaseException, frames: TracebackType | None) -> str:
    elsewhere = _own(error, "celeriac_traceback")
    if elsewhere is not None:
        return str(elsewhere)
    parts = _Formatter(folds=not log.isEnabledFor(logging.DEBUG)).chain(error, frames)
    return "".join(part if part in (_CAUSE, _CONTEXT) else _kept_together(part) for part in parts)


def _kept_together(part: str) -> str:
    """Indent all lines of a part but the first. A file name may contain line breaks, and so imitate a log line."""
    first, *others = part.split("\n")
    return "\n".join([first, *(line if line[:1].isspace() else line and f"    {line}" for line in others)])


def _own(error: BaseException, name: str) -> Any:
    """Read an attribute of the error without its class's `__getattr__`, which may raise anything."""
    try:
        return object.__getattribute__(error, name)
    except Exception:
        return None


class _Formatter:
    def __init__(self, *, folds: bool) -> None:
        self._folds = folds
        self._left = _ERRORS
        self._seen: set[int] = set()

    def chain(self, error: BaseException, frames: TracebackType | None = None, depth: int = 0) -> Iterator[str]:
        """Format an error, below the errors that led to it."""
        links = _chain_of(error, self._seen)
        for place, link in _ends(links, _CHAIN):
            if link is None:
                yield f"… {place:,} more exceptions of the chain …\n"
                continue
            cause, joint = link
            yield from self._one(cause, (frames if cause is error else None) or frames_of(cause), depth)
            yield joint

    def _one(self, error: BaseException, frames: TracebackType | None, depth: int) -> Iterator[str]:
        if self._left <= 0:
            yield f"… {_name_of(error)} …\n"
            return
        self._left -= 1
        if frames is not None:
            yield "Traceback (most recent call last):\n"
            yield from self._frames(frames, error)
        yield from _said(error, frames)
        if isinstance(error, BaseExceptionGroup):
            yield from self._members(error.exceptions, depth)

    def _members(self, errors: Sequence[BaseException], depth: int) -> Iterator[str]:
        if depth >= _DEPTH:
            yield f"  … {len(errors):,} more exceptions in the group …\n"
            return
        for place, member in _ends(list(enumerate(errors, 1)), _MEMBERS):
            if member is None:
                yield f"  … {place:,} more exceptions in the group …\n"
                continue
            number, error = member
            yield f"  ---------------- {number} of {len(errors):,} ----------------\n"
            shown = "".join(self.chain(error, depth=depth + 1))
            yield "".join(f"  | {line}\n" for line in shown.splitlines())

    def _frames(self, frames: TracebackType, error: BaseException) -> Iterator[str]:
        summary = _extracted(frames)
        is_users = any(frame is not None and not _is_machinery(frame) for _, frame in summary)
        if not self._folds or not (is_users or isinstance(error, CeleriacError)):
            yield from _unfolded(summary)
            return
        run: list[traceback.FrameSummary] = []
        folded = 0
        for count, frame in [*summary, (0, None)]:
            if frame is not None and _is_machinery(frame):
                folded += 1
                continue
            if folded:
                yield from traceback.StackSummary.from_list(run).format()
                yield f"  … {folded} frame{'s' * (folded > 1)} of Celeriac and Celery …\n"
                run, folded = [], 0
            if frame is not None:
                run.append(frame)
            elif count:
                yield from traceback.StackSummary.from_list(run).format()
                yield f"  … {count:,} more frames …\n"
                run = []
        yield from traceback.StackSummary.from_list(run).format()


def _chain_of(error: BaseException, seen: set[int]) -> list[tuple[BaseException, str]]:
    """List the errors that led to `error`, and itself, oldest first; each with the text that joins it to the next."""
    links: list[tuple[BaseException, str]] = []
    current: BaseException | None = error
    joint = ""
    while current is not None and id(current) not in seen and len(links) < _LINKS:
        seen.add(id(current))
        links.append((current, joint))
        if current.__cause__ is not None:
            current, joint = current.__cause__, _CAUSE
        else:
            current, joint = None if current.__suppress_context__ else current.__context__, _CONTEXT
    return links[::-1]


def _ends(items: list[Any], limits: tuple[int, int]) -> list[tuple[int, Any]]:
    """Keep the first and the last of `items`, as `(0, item)`. Between them comes `(number left out, None)`."""
    first, last = limits
    if len(items) <= first + last:
        return [(0, item) for item in items]
    left_out = (len(items) - first - last, None)
    return [*((0, item) for item in items[:first]), left_out, *((0, item) for item in items[-last:])]


def _extracted(frames: TracebackType) -> list[tuple[int, traceback.FrameSummary | None]]:
    """Extract the frames to show, in the form of `_ends`, without reading the source lines of the others."""
    count, frame = 0, frames
    while frame is not None:
        count, frame = count + 1, frame.tb_next
    first, last = _FRAMES
    if count <= first + last:
        return [(0, summary) for summary in traceback.extract_tb(frames)]
    head, tail = traceback.extract_tb(frames, first), traceback.extract_tb(frames, -last)
    return [*((0, each) for each in head), (count - first - last, None), *((0, each) for each in tail)]


def _unfolded(summary: list[tuple[int, traceback.FrameSummary | None]]) -> Iterator[str]:
    for count, frame in summary:
        if frame is None:
            yield f"  … {count:,} more frames …\n"
        else:
            yield from traceback.StackSummary.from_list([frame]).format()


def _is_machinery(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_MACHINERY)


def _said(error: BaseException, frames: TracebackType | None) -> Iterator[str]:
    """Format the error's name, its message and its notes."""
    if isinstance(error, _HELPFUL) and type(error).__str__ in _BUILTIN_STR:
        apart = {id(other) for other in (error.__cause__, error.__context__) if other is not None}
        python = traceback.TracebackException(type(error), error, frames, limit=0, _seen=apart)
        vars(python).setdefault("exceptions", None)  # Python 3.13 reads it, but sets it only without `_seen`
        for part in python.format_exception_only():  # the message, and the lines of a syntax error
            yield shortened(part, MESSAGE_LIMIT).rstrip("\n") + "\n"
        return
    message = message_of(error, MESSAGE_LIMIT)
    yield _indented(f"{_name_of(error)}: {message}" if message else _name_of(error))
    notes: Any = _own(error, "__notes__") or ()
    for count, note in _ends(list(notes) if isinstance(notes, list | tuple) else [notes], _NOTES):
        shown = f"… {count:,} more notes …" if count else note
        yield "    " + _indented(shown if isinstance(shown, str) else repr(shown))


_BUILTIN_STR = {kind.__str__ for kind in (*_HELPFUL, Exception)}


def _name_of(error: BaseException) -> str:
    module, name = str(type(error).__module__), type(error).__qualname__
    return shortened(without_controls(name if module in ("builtins", "__main__") else f"{module}.{name}"), 200)


def _indented(text: str) -> str:
    return without_controls(shortened(text, MESSAGE_LIMIT)).replace("\n", "\n    ") + "\n"
