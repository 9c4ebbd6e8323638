"""Text from outside (messages of exceptions, results, names) as records, logs and terminals can take it."""

from __future__ import annotations

import re

#: Room for the mark that says how much was cut.
_MARK = 48
#: What moves a terminal's cursor or begins a line: C0 without tab and line feed, DEL, C1, and Unicode's line ends.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROLS_AND_LINE_ENDS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


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
    return text if text.isprintable() else _CONTROLS_AND_LINE_ENDS.sub(_spelt_out, text)


def without_controls(text: str) -> str:
    r"""`text` with its control characters spelt out; line feeds and tabs stay, and `\r\n` becomes a line feed."""
    return text if text.isprintable() else _CONTROLS.sub(_spelt_out, text.replace("\r\n", "\n"))


def unicode(text: str) -> str:
    """`text` as UTF-8 can hold it; a lone surrogate, as in the name of a file in another encoding, is spelt out."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def message_of(error: BaseException, limit: int) -> str:
    """What `str(error)` says, in `limit` characters at most, whatever its class does. Calls it once."""
    try:
        return unicode(shortened(str(error), limit))
    except BaseException:  # a stranger's __str__ may raise anything, and the job has ended already
        return f"(its message cannot be shown: {type(error).__name__}.__str__ failed)"


def _spelt_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
