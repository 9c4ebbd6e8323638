"""Finds text that is not Unicode: it has halves of surrogate pairs, which UTF-8 cannot encode.

Such text comes as JSON (`"\\ud800"`) and from the operating system: bytes of a file name, an argument or an environment
variable that are not UTF-8.
"""

from __future__ import annotations

from typing import Any, cast

#: What is wrong with such a text, for its sender.
FAULT = "holds half of a surrogate pair, which is not a character"


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode the text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_unicode_at(value: Any) -> tuple[str | int, ...] | None:
    """Return the path to a text in a JSON value that is not Unicode, or None if there is none.

    If the name of an object's member is such a text, return the path of the object.
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


#: The place of a value: the place of its container, and its name or index there.
_Place = tuple["_Place | None", str | int]


def _path(place: _Place | None) -> tuple[str | int, ...]:
    parts = list[str | int]()
    while place is not None:
        place, part = place
        parts.append(part)
    return tuple(reversed(parts))
