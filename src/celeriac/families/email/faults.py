"""Collects the faults of a list of recipients, so that one upload reports most of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from celeriac.families.email.errors import RecipientsInvalid

#: The search ends after so many faults.
MAX_FAULTS = 20
_LISTED = 20
_SHOWN = 80

# NUL, which databases refuse, and halves of surrogate pairs, which stand for bytes of a CSV that are not UTF-8.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


def invalid(row: int | None, column: str | None, message: str) -> RecipientsInvalid:
    """Make the error for one fault that ends the search."""
    return RecipientsInvalid([{"row": row, "column": column, "message": message}])


class Faults:
    """The faults found so far."""

    def __init__(self) -> None:
        self._faults: list[dict[str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, row: int | None, column: str | None, message: str) -> None:
        """Note a fault.

        Raises:
            RecipientsInvalid: this fault reaches the limit.
        """
        self._faults.append({"row": row, "column": column, "message": message})
        if len(self._faults) >= MAX_FAULTS:
            raise RecipientsInvalid(self._faults, more=True)

    def raise_if_any(self) -> None:
        """
        Raises:
            RecipientsInvalid: there are faults.
        """
        if self._faults:
            raise RecipientsInvalid(self._faults)


def is_usable(text: str) -> bool:
    """Return whether the text can be stored and sent."""
    return (text.isascii() and "\x00" not in text) or not _UNUSABLE.search(text)


def why_unusable(text: str) -> str:
    """Say what to do about a text that is not usable."""
    if "\x00" in text:
        return "contains a NUL byte; remove it"
    return "is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)"


def shortened(text: str) -> str:
    """Return the text for a message: quoted, printable, and not too long."""
    return (
        repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...").encode("ascii", "backslashreplace").decode()
    )


def listed(names: Iterable[str]) -> str:
    """Return the first twenty names for a message, quoted."""
    first = list(islice(names, _LISTED + 1))
    shown = ", ".join(map(quoted, first[:_LISTED]))
    return f"{shown}, ..." if len(first) > _LISTED else shown


def quoted(name: str) -> str:
    """Return the name for a message, quoted."""
    return name if name.isidentifier() and len(name) <= _SHOWN else shortened(name)


def too_long(length: int, limit: int) -> str:
    """Say how long a value is, and how long it may be."""
    return f"has {length:,} characters; at most {limit:,} are allowed"
