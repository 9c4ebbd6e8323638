"""The filters of mail templates. Bounded versions replace Jinja's filters that can blow up a small input."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, cast

from jinja2 import Undefined, pass_environment, pass_eval_context
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.filters import make_attrgetter

_JINJA = cast(Mapping[str, Callable[..., Any]], JINJA_FILTERS)

#: The greatest length of a text or list that a filter makes.
MAX_TEXT = 1_000_000
MAX_ITEMS = 100_000

# Escaping for HTML makes a text at most so many times longer.
_ESCAPED = len("&#34;")

# `%` conversions with a width and a precision of at most two digits. A width never begins with zero, which is a flag:
# a pattern that matches it both ways doubles the time of a search with each conversion.
_FORMAT = re.compile(r"(?:[^%]++|%%|%[-+ 0]{0,3}(?:[1-9]\d?)?(?:\.\d{0,2})?[dfs])*+")

_UNCHANGED = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "forceescape", "int",
    "items", "last", "length", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "safe", "select",
    "selectattr", "sort", "striptags", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip


@pass_eval_context
def do_join(eval_ctx: Any, values: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """Join the values to one text, with `d` between them."""
    if attribute is not None:
        values = map(make_attrgetter(eval_ctx.environment, attribute), values)
    parts, length = list[Any](), 0
    for value in values:
        parts.append(scalar(value))
        length += (len(str(parts[-1])) + len(str(d))) * _ESCAPED
        if length > MAX_TEXT:
            raise FilterArgumentError("join makes a text that is too long")
    return _JINJA["join"](eval_ctx, parts, d)


@pass_eval_context
def do_replace(eval_ctx: Any, s: Any, old: Any, new: Any, count: int | None = None) -> Any:
    """Replace `old` by `new` in the text."""
    times = str(s).count(str(old)) if count is None else max(0, count)
    if (len(str(s)) + times * len(str(new))) * _ESCAPED > MAX_TEXT:
        raise FilterArgumentError("replace makes a text that is too long")
    return _JINJA["replace"](eval_ctx, s, old, new, count)


def do_round(value: float, precision: int = 0, method: str = "common") -> float:
    """Round the number."""
    if precision not in range(-10, 11):
        raise FilterArgumentError("round takes a precision from -10 to 10")
    return _JINJA["round"](value, precision, method)


def do_format(value: str, *args: Any) -> str:
    """Format values with the conversions %d, %f and %s: `{{ "%.2f"|format(price) }}`."""
    if not _FORMAT.fullmatch(str(value)):
        raise FilterArgumentError("format takes %d, %f and %s, with a width and a precision of at most two digits")
    return str(value) % tuple(scalar(arg) for arg in args)


@pass_environment
def do_sum(environment: Any, values: Iterable[Any], attribute: str | int | None = None) -> float:
    """Add up numbers."""
    if attribute is not None:
        values = map(make_attrgetter(environment, attribute), values)
    numbers = list(values)
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise FilterArgumentError("sum takes numbers")
    return sum(numbers)


def do_list(values: Iterable[Any]) -> list[Any]:
    """Make a list of the values."""
    items = list(islice(values, MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        raise FilterArgumentError("the list is too long")
    return items


def do_string(value: Any) -> str:
    """Return the value as a text."""
    return value if isinstance(value, str) else str(scalar(value))


def scalar(value: Any) -> Any:
    """Return the value if it has a text of bounded length. Null becomes an empty text.

    Raises:
        FilterArgumentError: the value contains others, so its text could have any length.
    """
    if value is None:
        return ""
    if isinstance(value, (str, int, float, Undefined)):
        return value
    raise FilterArgumentError("a list or an object cannot be used as a text; loop over it, or use the filter join")


FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: _JINJA[name] for name in _UNCHANGED},
    "format": do_format,
    "join": do_join,
    "list": do_list,
    "replace": do_replace,
    "round": do_round,
    "string": do_string,
    "sum": do_sum,
}
