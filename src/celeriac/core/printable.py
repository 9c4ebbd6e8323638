"""Makes text from outside (messages of exceptions, results, names) safe for records, logs and terminals."""

from __future__ import annotations

from types import TracebackType
from typing import Any

#: Room for the mark that says how much was cut.
_MARK = 48
#: Escapes for characters that move a terminal's cursor or begin a line: C0 without tab, DEL, C1, Unicode's line ends.
_LINE_ENDS_TOO = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}
#: Python's own descriptors, which ignore attributes of the same name in a class or metaclass.
_NAME: Any = vars(type)["__name__"]
_TRACEBACK: Any = vars(BaseException)["__traceback__"]
_CONTROLS = {code: shown for code, shown in _LINE_ENDS_TOO.items() if code != ord("\n")}


def shortened(text: str, limit: int, *, tail: float = 0.25) -> str:
    """Cut `text` to `limit` characters: its head, a mark that says how much was cut, and its tail.

    Args:
        text: the text, which is sliced and never copied as a whole.
        limit: characters, including the mark; at least 100.
        tail: the share of the kept text that comes from the end.
    """
    if len(text) <= limit:
        return text
    kept = limit - _MARK
    end = int(kept * tail)
    return f"{text[: kept - end]} … {len(text) - kept:,} characters cut … {text[len(text) - end :]}"


def one_line(text: str) -> str:
    r"""Escape control characters and line ends (`\x1b`, `\n`), so that `text` stays in one line."""
    return text if text.isprintable() else text.translate(_LINE_ENDS_TOO)


def without_controls(text: str) -> str:
    r"""Escape control characters. Keep line feeds and tabs, and turn `\r\n` into a line feed."""
    return text if text.isprintable() else text.replace("\r\n", "\n").translate(_CONTROLS)


def unicode(text: str) -> str:
    """Escape lone surrogates, which UTF-8 cannot encode. File names in other encodings have them."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def name_of(error: BaseException) -> str:
    """Return the name of its class, without asking a metaclass."""
    return _NAME.__get__(type(error))


def frames_of(error: BaseException) -> TracebackType | None:
    """Return the traceback that Python set, without asking a property of that name."""
    return _TRACEBACK.__get__(error)


def message_of(error: BaseException, limit: int) -> str:
    """Return `str(error)` in at most `limit` characters, even if its class fails. Call it only once."""
    try:
        return unicode(shortened(str(error), limit))
    except BaseException:  # a stranger's __str__ may raise anything, and the job has ended already
        return f"(its message cannot be shown: {name_of(error)}.__str__ failed)"


def repr_of(error: BaseException, limit: int) -> str:
    """Return `repr(error)` in at most `limit` characters, even if its class fails."""
    try:
        return unicode(shortened(repr(error), limit))
    except BaseException:
        return f"{name_of(error)}(), whose __repr__ failed"
