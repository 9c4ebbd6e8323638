"""Collecting what is wrong with a list of recipients, so that one upload tells most of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from celeriac.families.email.address import identity, parse_address
from celeriac.families.email.errors import RecipientsInvalid

#: After so many faults the rest is not looked at.
MAX_FAULTS = 20
_LISTED = 20
_SHOWN = 80

# NUL, which databases refuse, and halves of surrogate pairs: in a CSV the bytes that are not UTF-8.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


def invalid(row: int | None, column: str | None, message: str) -> RecipientsInvalid:
    """The error for one fault after which nothing else can be said."""
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
            RecipientsInvalid: that was the last one to be looked for.
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


class Addresses:
    """Checks addresses one after another, and that none comes twice.

    Remembers every address: some 200 bytes for each.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._rows: dict[str, int] = {}

    def check(self, row: int, text: str) -> str | None:
        """The normal form of the address, or None if it has a fault (which is noted)."""
        try:
            address = parse_address(text.strip())
        except ValueError as error:
            self._faults.add(row, "email", f"{shortened(text)} is not a mail address: {error}")
            return None
        first = self._rows.setdefault(identity(address), row)
        if first != row:
            self._faults.add(row, "email", f"{address} is in row {first} already; remove one of the two")
            return None
        return address


def is_usable(text: str) -> bool:
    """Whether the text can be stored and sent."""
    return (text.isascii() and "\x00" not in text) or not _UNUSABLE.search(text)


def why_unusable(text: str) -> str:
    """What to do about a text that is not."""
    if "\x00" in text:
        return "contains a NUL byte; remove it"
    return "is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)"


def shortened(text: str) -> str:
    """The text as it may be quoted in a message: printable, and not too long."""
    return (
        repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...").encode("ascii", "backslashreplace").decode()
    )


def listed(names: Iterable[str]) -> str:
    """The names as they may be quoted in a message, the first twenty of them."""
    first = list(islice(names, _LISTED + 1))
    shown = ", ".join(map(quoted, first[:_LISTED]))
    return f"{shown}, ..." if len(first) > _LISTED else shown


def quoted(name: str) -> str:
    """The name as it may be quoted in a message."""
    return name if name.isidentifier() and len(name) <= _SHOWN else shortened(name)


def too_long(length: int, limit: int) -> str:
    """What to do about a value of so many characters."""
    return f"has {length:,} characters; at most {limit:,} are allowed"
