"""Reads submitted recipients from a CSV file or a JSON list. The input may be hostile, so memory is bounded.

Nothing here is async. Reading a large file keeps a CPU busy, so call it in a thread.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from celeriac.families.email.addresses import Addresses, Duplicates
from celeriac.families.email.faults import (
    Faults,
    invalid,
    is_usable,
    listed,
    quoted,
    too_long,
    why_unusable,
)
from celeriac.families.email.model import MAX_NAME, Recipient
from celeriac.families.email.upload import text_lines

_DELIMITERS = (",", ";", "\t")
_MAX_DEPTH = 5
_INT64 = range(-(2**63), 2**63)
_NOT_IN_A_NAME = re.compile(r"\W+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a submission. `field` and `name` bound a value and a column's name, in characters."""

    rows: int = 1_000_000
    columns: int = 100
    field: int = 10_000
    name: int = MAX_NAME


class Recipients(Protocol):
    """Submitted recipients. `columns` are the variables that all of them have, or None if they differ.

    `left_out` is how many rows were left out as duplicates, once all were read.
    """

    @property
    def columns(self) -> Collection[str] | None: ...

    @property
    def left_out(self) -> int: ...

    def read(self, required: Collection[str]) -> Iterator[Recipient]:
        """Yield the recipients in order. Each has the `required` variables.

        Raises:
            RecipientsInvalid: at the end, or after 20 faults. Each names its row, its column and what to change.
        """
        ...


class CsvRecipients:
    """Recipients from a CSV file: UTF-8, separated by comma, semicolon or tab, with a header row.

    One column is called `email`, in upper or lower case. The others become template variables. Characters that a
    variable's name cannot have become `_`: `First name` is `First_name`. Empty rows are skipped. Rows are numbered
    as in a spreadsheet: the header is row 1.
    """

    def __init__(self, stream: BinaryIO, limits: Limits = Limits(), duplicates: Duplicates = Duplicates.REFUSE) -> None:
        """Read the header.

        Raises:
            RecipientsInvalid: the file is not CSV, or its header cannot be used.
        """
        self._limits = limits
        self._duplicates = duplicates
        self.left_out = 0
        self._lines = text_lines(stream)
        header = next(self._lines, "")
        if not header.strip():
            raise invalid(1, None, "the first row is empty; it must name the columns, one of them email")
        delimiter = max(_DELIMITERS, key=header.count)
        self._rows = csv.reader(_chain(header, self._lines), delimiter=delimiter, strict=True)
        try:
            names = next(self._rows)
        except csv.Error as error:
            raise invalid(1, None, _explained(error)) from None
        self._names = _variables(names, limits)
        self._email = self._names.index("email")

    @property
    def columns(self) -> Collection[str]:
        """The variables, `email` among them."""
        return self._names

    def read(self, required: Collection[str]) -> Iterator[Recipient]:
        """Yield the recipients (see `Recipients`). Callers have compared `required` with `columns` before."""
        faults = Faults()
        addresses = Addresses(faults, self._duplicates)
        count = 0
        for row, cells in self._records(faults):
            if not any(cells):
                continue
            count += 1
            if count > self._limits.rows:
                faults.add(row, None, f"there are more than {self._limits.rows:,} recipients; split the file")
                break
            if self._is_sound(row, cells, faults):
                address = addresses.check(row, cells[self._email])
                if address is not None and not faults:
                    variables = dict(zip(self._names, cells, strict=True))
                    del variables["email"]  # the normal form takes its place
                    yield Recipient(row, address, variables)
        if not count and not faults:
            faults.add(None, None, "there are no recipients below the header")
        self.left_out = addresses.left_out
        faults.raise_if_any()

    def _records(self, faults: Faults) -> Iterator[tuple[int, list[str]]]:
        row = 1
        while True:
            row += 1
            try:
                yield row, next(self._rows)
            except StopIteration:
                return
            except csv.Error as error:  # nobody knows where the next row begins
                faults.add(row, None, _explained(error))
                return

    def _is_sound(self, row: int, cells: list[str], faults: Faults) -> bool:
        if len(cells) != len(self._names):
            faults.add(row, None, f"has {len(cells)} columns, and the header has {len(self._names)}")
            return False
        whole = "".join(cells)
        if len(whole) <= self._limits.field and is_usable(whole):
            return True
        sound = True
        for name, cell in zip(self._names, cells, strict=True):
            if len(cell) > self._limits.field:
                faults.add(row, name, too_long(len(cell), self._limits.field))
                sound = False
            elif not is_usable(cell):
                faults.add(row, name, why_unusable(cell))
                sound = False
        return sound


class JsonRecipients:
    """Recipients from JSON: objects with `email` and any other members, which become template variables."""

    def __init__(
        self, items: Sequence[object], limits: Limits = Limits(), duplicates: Duplicates = Duplicates.REFUSE
    ) -> None:
        self._items = items
        self._limits = limits
        self._duplicates = duplicates
        self.left_out = 0

    @property
    def columns(self) -> None:
        """None: each recipient has its own variables."""
        return None

    def read(self, required: Collection[str]) -> Iterator[Recipient]:
        """Yield the recipients (see `Recipients`). Rows count from 1."""
        faults = Faults()
        addresses = Addresses(faults, self._duplicates)
        if not self._items:
            faults.add(None, None, "there are no recipients")
        if len(self._items) > self._limits.rows:
            faults.add(None, None, f"there are more than {self._limits.rows:,} recipients; split the list")
            faults.raise_if_any()
        for row, item in enumerate(self._items, start=1):
            variables = self._checked(row, item, required, faults)
            if variables is None:
                continue
            address = addresses.check(row, str(variables.pop("email")))
            if address is not None and not faults:
                yield Recipient(row, address, variables)
        self.left_out = addresses.left_out
        faults.raise_if_any()

    def _checked(self, row: int, item: object, required: Collection[str], faults: Faults) -> dict[str, Any] | None:
        if not isinstance(item, dict):
            faults.add(row, None, "is not an object with the member email")
            return None
        members = dict(cast(Mapping[str, Any], item))
        if not isinstance(members.get("email"), str):
            faults.add(row, "email", "is missing, or is not a string")
            return None
        missing = sorted(set(required) - members.keys())
        if missing:
            faults.add(row, missing[0], f"is missing, and the templates use it; there are: {listed(members)}")
            return None
        if len(members) > self._limits.columns:
            faults.add(row, None, f"has {len(members):,} members; at most {self._limits.columns:,} are allowed")
            return None
        for name, value in members.items():
            fault = _fault_in_name(name, self._limits) or _fault_in(value, self._limits, 0)
            if fault is not None:
                faults.add(row, quoted(name), fault)
                return None
        return members


def _fault_in_name(name: str, limits: Limits) -> str | None:
    """Say why a variable cannot have this name. None: it can."""
    if len(name) > limits.name:
        return f"is a name that {too_long(len(name), limits.name)}"
    return None if is_usable(name) else "is a name that contains NUL, or half of a surrogate pair"


def _fault_in(value: Any, limits: Limits, depth: int) -> str | None:
    """Say why a variable cannot have this JSON value. None: it can."""
    match value:
        case str():
            if len(value) > limits.field:
                return too_long(len(value), limits.field)
            return None if is_usable(value) else "contains NUL, or half of a surrogate pair"
        case bool() | float() | None:
            return None
        case int():
            return None if value in _INT64 else "is a number of more than 64 bits"
        case list() | dict():
            inner = cast("list[Any] | dict[str, Any]", value)
            if depth == _MAX_DEPTH:
                return f"is nested more than {_MAX_DEPTH} levels deep"
            if len(inner) > limits.columns:
                return f"has {len(inner):,} items; at most {limits.columns:,} are allowed"
            items = [*inner, *inner.values()] if isinstance(inner, dict) else inner
            return next((fault for item in items if (fault := _fault_in(item, limits, depth + 1))), None)
        case _:
            return f"is of the type {type(value).__name__}, which JSON does not have"


def _variables(names: list[str], limits: Limits) -> list[str]:
    """Turn the header's names into names of variables."""
    if len(names) > limits.columns:
        raise invalid(1, None, f"has {len(names):,} columns; at most {limits.columns:,} are allowed")
    variables = dict[str, str]()
    for number, name in enumerate(names, start=1):
        if len(name) > limits.name:
            raise invalid(1, str(number), too_long(len(name), limits.name))
        if not is_usable(name):
            raise invalid(1, str(number), why_unusable(name))
        variable = _variable(name.strip())
        if not variable:
            raise invalid(1, str(number), "has no name; name the column, or remove it")
        if variable in variables:
            other = quoted(variables[variable])
            raise invalid(1, quoted(name), f"means the variable {variable}, as does {other}; rename one of them")
        variables[variable] = name
    if "email" not in variables:
        raise invalid(1, None, f"no column is called email; there are: {listed(names)}")
    return list(variables)


def _variable(name: str) -> str:
    if name.casefold() == "email":
        return "email"
    variable = _NOT_IN_A_NAME.sub("_", name)
    return f"_{variable}" if variable[:1].isdigit() else variable


def _chain(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _explained(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return 'a quote (") that begins here is not closed'
    if "field larger" in str(error):
        return 'a value is too long, or a quote (") that begins here is not closed'
    if "expected after" in str(error):
        return 'there is text after a closing quote; a quote inside a value is written twice ("")'
    return f"cannot be read: {error}"
