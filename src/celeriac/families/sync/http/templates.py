"""Paths and parameters with fields of a parent's record: `customers/{parent.id}/orders`."""

from __future__ import annotations

from functools import lru_cache
from string import Formatter
from typing import Any
from urllib.parse import quote

from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.paths import compile_path
from celeriac.families.sync.pages import Record

_PARENT = "parent."
_REMEMBERED = 1024


def check_template(text: str) -> None:
    """
    Raises:
        ValueError: braces have something else than a field of the parent in them.
    """
    _parts(text)


def fields_in(text: str) -> set[str]:
    """Return the fields of the parent that a text has."""
    return {path for _, path in _parts(text) if path}


def fill_path(text: str, parent: Record | None) -> str:
    """Return the path with the parent's fields in it, quoted, so that no value can lead to another path.

    Raises:
        SourceFailed: a field is missing, empty, or no text or number.
    """
    return _fill(text, parent, quoted=True)


def fill_value(text: str, parent: Record | None) -> str:
    """Return the value of a parameter with the parent's fields in it.

    Raises:
        SourceFailed: a field is missing, empty, or no text or number.
    """
    return _fill(text, parent, quoted=False)


@lru_cache(maxsize=_REMEMBERED)
def _parts(text: str) -> tuple[tuple[str, str], ...]:
    """Split it into pairs of a text and the path of a field after it; empty for none."""
    wanted = "write {parent.FIELD} for a field of the parent's record, and {{ or }} for a brace"
    parts: list[tuple[str, str]] = []
    try:
        found = list(Formatter().parse(text))
    except ValueError:
        raise ValueError(f"a brace stands alone; {wanted}") from None
    for literal, field, form, conversion in found:
        if field is None:
            parts.append((literal, ""))
            continue
        path = field.removeprefix(_PARENT)
        if not field.startswith(_PARENT) or not path or form or conversion:
            raise ValueError(f"{{{field[:100]}}} is not understood; {wanted}")
        compile_path(path)
        parts.append((literal, path))
    return tuple(parts)


def _fill(text: str, parent: Record | None, *, quoted: bool) -> str:
    filled: list[str] = []
    for literal, path in _parts(text):
        filled.append(literal)
        if path:
            value = _value_of(path, parent)
            filled.append(quote(value, safe="") if quoted else value)
    return "".join(filled)


def _value_of(path: str, parent: Record | None) -> str:
    if parent is None:
        raise SourceFailed(f"{{parent.{path}}} needs a parent: name the stream's parent")
    value: Any = compile_path(path).find(parent)
    if isinstance(value, bool) or not isinstance(value, str | int) or value in ("", ".", ".."):
        raise SourceFailed(
            f"the field {path!r} of the parent's record must be text or a whole number, to ask for its children; "
            f"it is {shown(value, is_there=value is not None)}"
        )
    return str(value)
