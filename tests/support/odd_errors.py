"""Exceptions as users' code raises them, and libraries do: hard to pickle, to show, to bear."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn

#: What a text would write into a log as a line of its own, if it could; in red.
FORGED = "ok\n[2026-11-28 09:00:00,000: INFO/MainProcess] forged \x1b[31m"
HUGE = 10_000_000


class PaymentRefused(Exception):
    """Takes more than its message."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class OnlyNamed(Exception):
    """Takes no positional arguments, and gives none to its base."""

    def __init__(self, *, code: int) -> None:
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class Refined(ValueError):
    """Takes more than its message, while its base class can be pickled."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")


class Locked(Exception):
    """Has what cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Proxy(Exception):
    """Hands on what it does not know itself, before there is anything to hand it on to."""

    def __getattr__(self, name: str) -> object:
        return getattr(self.response, name)


class Touchy(Exception):
    """Raises wherever it is looked at."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("no class")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("no attributes")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equals")

    __hash__ = None  # type: ignore[assignment]


class _ExitingKind(type):
    """Of a class that cannot even be named."""

    def __getattribute__(cls, name: str) -> object:
        if name in ("__module__", "__name__", "__qualname__"):
            raise SystemExit
        return super().__getattribute__(name)


class _Unnamed(Exception, metaclass=_ExitingKind):
    pass


class _ExitingNote:
    def __repr__(self) -> str:
        raise SystemExit


class ExitingAnswer(dict[str, int]):
    """A result that ends whoever encodes it."""

    def items(self) -> NoReturn:  # type: ignore[override]
        raise SystemExit


def _exiting(name: str) -> Callable[[], Exception]:
    """An exception that ends whoever reads its attribute `name`."""

    def exit_(*_: object) -> NoReturn:
        raise SystemExit

    hidden = exit_ if name in ("__str__", "__repr__", "__reduce__", "__eq__") else property(exit_)
    return lambda: type("Exiting", (Exception,), {name: hidden})("shop")


def _with_odd_note() -> Exception:
    error = ValueError("noted")
    error.__notes__ = [_ExitingNote()]  # type: ignore[list-item]
    return error


class _OddGroup(ExceptionGroup):
    @property
    def exceptions(self) -> NoReturn:  # type: ignore[override]
        raise SystemExit


#: Exceptions that raise what is no `Exception` where they, their classes or what they hold are looked at.
UNBEARABLE: dict[str, Callable[[], Exception]] = {
    **{
        name: _exiting(name)
        for name in (
            "__notes__",
            "__traceback__",
            "__cause__",
            "__context__",
            "__class__",
            "__dict__",
            "args",
            "__str__",
            "__repr__",
            "__reduce__",
            "__eq__",
        )
    },
    "metaclass": lambda: _Unnamed("shop"),
    "note": _with_odd_note,
    "members": lambda: _OddGroup("several", [ValueError("one")]),
    "argument": lambda: ValueError(_ExitingNote()),
}


def _group() -> NoReturn:
    raise ExceptionGroup("several", [PaymentRefused(402, "no money"), ValueError("of it")])


def _chained() -> NoReturn:
    try:
        raise Locked("below")
    except Locked as error:
        raise PaymentRefused(402, "above") from error


def _endless() -> NoReturn:
    error = ValueError("number 0")
    for number in range(1, 3000):
        try:
            raise ValueError(f"number {number}") from error
        except ValueError as caught:
            error = caught
    raise error


def _raising(make: Callable[[], Exception]) -> Callable[[], NoReturn]:
    def raise_it() -> NoReturn:
        raise make()

    return raise_it


_WAYS: dict[str, Callable[[], NoReturn]] = {
    "several": _raising(lambda: PaymentRefused(402, "no money")),
    "named": _raising(lambda: OnlyNamed(code=7)),
    "refined": _raising(lambda: Refined("age", "is negative")),
    "locked": _raising(lambda: Locked("shut")),
    "mute": _raising(Mute),
    "proxy": _raising(lambda: Proxy("no response")),
    "group": _group,
    "chained": _chained,
    "endless": _endless,
    "huge": _raising(lambda: ValueError("x" * HUGE)),
    **{f"unbearable {name}": _raising(make) for name, make in UNBEARABLE.items()},
    "forged": _raising(lambda: ValueError(FORGED)),
}
#: What is told of some: the name of the class, and the message.
TOLD = {
    "several": ("PaymentRefused", "402: no money"),
    "named": ("OnlyNamed", "code 7"),
    "refined": ("Refined", "age is negative"),
    "locked": ("Locked", "shut"),
    "mute": ("Mute", "(its message cannot be shown: Mute.__str__ failed)"),
    "proxy": ("Proxy", "no response"),
    "group": ("ExceptionGroup", "several (2 sub-exceptions)"),
    "chained": ("PaymentRefused", "402: above"),
}


def raise_odd(way: str) -> NoReturn:
    """Raise the exception of that name."""
    _WAYS[way]()
