"""Paths into JSON: names with dots between them (`data.items`), or JSONPath if it begins with `$`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, cast

import jsonpath
from jsonpath import JSONPath
from jsonpath.exceptions import JSONPathError
from pydantic import AfterValidator


class Missing(Enum):
    """Says that a path leads to nothing. `None` is what JSON calls null."""

    MISSING = "missing"


MISSING = Missing.MISSING
_REMEMBERED = 1024


class DottedPath:
    """Names and indexes with dots between them; empty for the whole."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = tuple(text.split(".")) if text else ()
        #: The same for a parser of streams, which knows no indexes; None if it has one.
        self.prefix = None if any(part.isdigit() for part in self.parts) else text

    def find(self, value: Any) -> Any:
        """Return what is there, or MISSING. A field whose name has the dots goes first."""
        if len(self.parts) > 1 and isinstance(value, Mapping):
            value = cast("Mapping[str, Any]", value)
            if self.text in value:
                return value[self.text]
        for part in self.parts:
            if isinstance(value, Mapping):
                value = cast("Mapping[str, Any]", value).get(part, MISSING)
            elif isinstance(value, Sequence) and not isinstance(value, str) and part.isascii() and part.isdigit():
                items = cast("Sequence[Any]", value)
                value = items[int(part)] if int(part) < len(items) else MISSING
            else:
                return MISSING
        return value


class QueryPath:
    """A JSONPath (RFC 9535). One with a wildcard or a filter leads to a list, which may be empty."""

    prefix = None

    def __init__(self, text: str) -> None:
        self.text = text
        self._query = jsonpath.compile(text)
        self._is_singular = isinstance(self._query, JSONPath) and self._query.singular_query()

    def find(self, value: Any) -> Any:
        """Return the value to which it leads, or MISSING; a list of all values if it may lead to several."""
        found = self._query.findall(value)
        return found if not self._is_singular else found[0] if found else MISSING


JsonPath = DottedPath | QueryPath


@lru_cache(maxsize=_REMEMBERED)
def compile_path(text: str) -> JsonPath:
    """Read a path.

    Raises:
        ValueError: it is neither form. The message says where.
    """
    if text.startswith("$"):
        try:
            return QueryPath(text)
        except JSONPathError as error:
            raise ValueError(f"{text!r} is no JSONPath: {str(error).splitlines()[0]}") from None
    if text and not all(text.split(".")):
        raise ValueError(f"{text!r} has an empty name between its dots; write it as JSONPath, which begins with $")
    return DottedPath(text)


def _checked(text: str) -> str:
    compile_path(text)
    return text


#: A path in a definition.
PathText = Annotated[str, AfterValidator(_checked)]
