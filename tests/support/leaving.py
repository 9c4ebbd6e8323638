"""Whatever can leave a task's function."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable


class Abandoned(BaseException):
    """A team's own, which `except Exception` is not meant to see."""


#: What ends the process in Celery's own pools: its meaning is Celery's.
ENDS_THE_PROCESS = ("SystemExit", "KeyboardInterrupt")

_ARGUMENTS: dict[str, tuple[object, ...]] = {
    "UnicodeDecodeError": ("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "UnicodeEncodeError": ("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
    "UnicodeTranslateError": ("\udcff", 0, 1, "surrogates not allowed"),
    "ExceptionGroup": ("several", [ValueError("one"), OSError("two")]),
    "BaseExceptionGroup": ("several", [KeyboardInterrupt(), Abandoned()]),
}


def _made_by(kind: type[BaseException]) -> Callable[[], BaseException]:
    return lambda: kind(*_ARGUMENTS.get(kind.__name__, (f"a {kind.__name__}",)))


def _builtin() -> list[type[BaseException]]:
    """All exceptions and warnings of Python's, without their aliases."""
    kinds = {value for value in vars(builtins).values() if isinstance(value, type) and issubclass(value, BaseException)}
    return sorted(kinds, key=lambda kind: kind.__name__)


#: What makes each of them, by name.
LEAVING: dict[str, Callable[[], BaseException]] = {
    kind.__name__: _made_by(kind) for kind in (*_builtin(), Abandoned, asyncio.CancelledError)
}
