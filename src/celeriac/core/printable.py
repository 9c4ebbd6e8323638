"""Text from outside (messages of exceptions, results, names) as records, logs and terminals can take it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

#: Room for the mark that says how much was cut.
_MARK = 48
#: What moves a terminal's cursor or begins a line: C0 without tab, DEL, C1, and Unicode's line ends; spelt out.
_LINE_ENDS_TOO = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}
#: What Python itself reads, past the attributes that a metaclass or a class puts before it.
_NAME: Any = vars(type)["__name__"]
_TRACEBACK: Any = vars(BaseException)["__traceback__"]
_CONTROLS = {code: shown for code, shown in _LINE_ENDS_TOO.items() if code != ord("\n")}


def shortened(text: str, limit: int, *, tail: float = 0.25) -> str:
    """`text` in `limit` characters at most: its head and its tail, and between them how much was cut.

    Args:
        text: it is sliced, never copied as a whole.
        limit: characters, the mark among them; at least 100.
        tail: the part of what is kept that comes from the end.
    """
    if len(text) <= limit:
        return text
    kept = limit - _MARK
    end = int(kept * tail)
    return f"{text[: kept - end]} … {len(text) - kept:,} characters cut … {text[len(text) - end :]}"


def one_line(text: str) -> str:
    r"""`text` with its control characters and line ends spelt out (`\x1b`, `\n`), so that it stays in its line."""
    return text if text.isprintable() else text.translate(_LINE_ENDS_TOO)


def without_controls(text: str) -> str:
    r"""`text` with its control characters spelt out; line feeds and tabs stay, and `\r\n` becomes a line feed."""
    return text if text.isprintable() else text.replace("\r\n", "\n").translate(_CONTROLS)


def unicode(text: str) -> str:
    """`text` as UTF-8 can hold it; a lone surrogate, as in the name of a file in another encoding, is spelt out."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def name_of(error: BaseException) -> str:
    """The name of its class; what a metaclass would say is not asked."""
    return _NAME.__get__(type(error))


def frames_of(error: BaseException) -> TracebackType | None:
    """The traceback that Python gave it; a property of that name is not asked."""
    return _TRACEBACK.__get__(error)


def message_of(error: BaseException, limit: int) -> str:
    """What `str(error)` says, in `limit` characters at most, whatever its class does. Calls it once."""
    try:
        return unicode(shortened(str(error), limit))
    except BaseException:  # a stranger's __str__ may raise anything, and the job has ended already
        return f"(its message cannot be shown: {name_of(error)}.__str__ failed)"


def repr_of(error: BaseException, limit: int) -> str:
    """The same of `repr(error)`."""
    try:
        return unicode(shortened(repr(error), limit))
    except BaseException:
        return f"{name_of(error)}(), whose __repr__ failed"
