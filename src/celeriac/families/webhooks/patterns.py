"""Types of events, and the patterns by which endpoints choose them."""

from __future__ import annotations

from collections.abc import Iterable

from celeriac.families.webhooks.model import OWN_TYPES

_LONGEST = 128
_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_TYPE = "expected words of letters, digits, _ and - with dots between them, such as invoice.paid"


def check_type(name: str) -> None:
    """Check the type of an event.

    Raises:
        ValueError: it is no type, or one that only Celeriac sends.
    """
    _check_words(name)
    if name.startswith(OWN_TYPES):
        raise ValueError(f"types that begin with {OWN_TYPES!r} are Celeriac's own; choose another")


def check_pattern(pattern: str) -> None:
    """Check a pattern: a type, `*`, or a type whose last word is `*`.

    Raises:
        ValueError: it is none of these.
    """
    if pattern == "*":
        return
    try:
        _check_words(pattern.removesuffix(".*"))
    except ValueError:
        raise ValueError(f"{pattern[:_LONGEST]!r}: expected a type such as invoice.paid, invoice.*, or *") from None


def matches(patterns: Iterable[str], event_type: str) -> bool:
    """Whether one of the patterns includes the type. `*` does not include Celeriac's own types."""
    is_own = event_type.startswith(OWN_TYPES)
    return any(
        pattern == event_type
        or (pattern == "*" and not is_own)
        or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
        for pattern in patterns
    )


def _check_words(name: str) -> None:
    if not 0 < len(name) <= _LONGEST or not _CHARACTERS.issuperset(name) or not all(name.split(".")):
        raise ValueError(f"{name[:_LONGEST]!r}: {_TYPE}, {_LONGEST} characters at most")
