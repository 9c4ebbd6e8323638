"""The arguments of an exception, as Celery's result of a failed task keeps them: as they are, in a bounded size.

They may hold anything: the whole answer of a server, a data frame, the rows of a file. Each is copied into the results
of all that fails with the task (a chain, a group, a chord), and read by whoever looks at one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kombu.utils.encoding import safe_repr

from celeriac.core.printable import shortened
from celeriac.core.records import MESSAGE_LIMIT

#: Arguments of one exception that are kept.
_MOST = 20
_ALWAYS_SHORT = (type(None), bool, float)


def kept_arguments(arguments: Sequence[Any], encode: Callable[[Any], str | bytes]) -> tuple[Any, ...]:
    """What `encode` can hold of `arguments`, at most 4,000 characters of each; a mark says what was cut.

    An argument that is no text is kept as it is if it is short enough, else as text.
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
    except Exception:  # a stranger's object, or a text that is no Unicode
        return shortened(safe_repr(value), MESSAGE_LIMIT)
    if isinstance(argument, str) or len(encoded) <= MESSAGE_LIMIT:
        return value
    return shortened(encoded if isinstance(encoded, str) else safe_repr(value), MESSAGE_LIMIT)
