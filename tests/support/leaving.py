"""Whatever can leave a task's function."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable


class Abandoned(BaseException):
    """A team's own, which `except Exception` is not meant to see."""


class Unspeakable(Exception):
    """One that nobody can show."""

    def __repr__(self) -> str:
        raise RuntimeError("no words for an Unspeakable")

    __str__ = __repr__


class UnspeakablyAbandoned(Abandoned):
    """Both."""

    def __repr__(self) -> str:
        raise Abandoned

    __str__ = __repr__


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
    kind.__name__: _made_by(kind)
    for kind in (*_builtin(), Abandoned, Unspeakable, UnspeakablyAbandoned, asyncio.CancelledError)
}


def raise_with_cause(kind: str) -> None:
    """Raise an `Exception`, or what is none, as the consequence of another."""
    try:
        raise LookupError("what came first")
    except LookupError as first:
        raise {"error": ValueError, "abandoned": Abandoned}[kind]("what came then") from first
