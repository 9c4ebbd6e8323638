"""Text that is no Unicode: halves of surrogate pairs, which Python's strings can hold and UTF-8 cannot.

They come from outside as JSON (`"\\ud800"`), and from the operating system: bytes of a file's name, an argument or a
variable of the environment that are not UTF-8.
"""

from __future__ import annotations

from typing import Any, cast

#: What is wrong with such a text, for whoever sent it.
FAULT = "holds half of a surrogate pair, which is no character"


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_unicode_at(value: Any) -> tuple[str | int, ...] | None:
    """Where in a JSON value a text is that is no Unicode; None if there is none.

    The path of the name of an object's member is that of the object.
    """
    todo: list[tuple[_Place | None, Any]] = [(None, value)]
    while todo:
        place, found = todo.pop()
        if isinstance(found, str):
            if not is_unicode(found):
                return _path(place)
        elif isinstance(found, dict):
            members = cast("dict[str, Any]", found)
            if not all(map(is_unicode, members)):
                return _path(place)
            todo += [((place, name), member) for name, member in members.items()]
        elif isinstance(found, list):
            todo += [((place, index), item) for index, item in enumerate(cast("list[Any]", found))]
    return None


#: Where a value is: in what, and under which name or at which place there.
_Place = tuple["_Place | None", str | int]


def _path(place: _Place | None) -> tuple[str | int, ...]:
    parts = list[str | int]()
    while place is not None:
        place, part = place
        parts.append(part)
    return tuple(reversed(parts))
