"""Bounds the size of an exception's arguments, which Celery's result of a failed task keeps.

They may hold anything: a server's whole answer, a data frame, the rows of a file. Celery copies them into the results
of all tasks that fail together (a chain, a group, a chord), and each reader loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kombu.utils.encoding import safe_repr

from celeriac.core.printable import shortened
from celeriac.core.records import MESSAGE_LIMIT

#: How many arguments of one exception are kept.
_MOST = 20
_ALWAYS_SHORT = (type(None), bool, float)


def kept_arguments(arguments: Sequence[Any], encode: Callable[[Any], str | bytes]) -> tuple[Any, ...]:
    """Cut `arguments` to what `encode` accepts, in at most 4,000 characters each. A mark says what was cut.

    An argument that is no text stays as it is if it is short enough. Otherwise it becomes text.
    """
    kept = tuple(_kept(argument, encode) for argument in arguments[:_MOST])
    if len(arguments) <= _MOST:
        return kept
    return (*kept, f"… {len(arguments) - _MOST:,} arguments cut …")


def _kept(argument: Any, encode: Callable[[Any], str | bytes]) -> Any:
    if isinstance(argument, _ALWAYS_SHORT):
        return argument
    value = shortened(argument, MESSAGE_LIMIT) if isinstance(argument, str) else argument
    try:
        encoded = encode(value)
    except Exception:  # an object that JSON does not know, or a text that is no valid Unicode
        return shortened(safe_repr(value), MESSAGE_LIMIT)
    if isinstance(argument, str) or len(encoded) <= MESSAGE_LIMIT:
        return value
    return shortened(encoded if isinstance(encoded, str) else safe_repr(value), MESSAGE_LIMIT)
