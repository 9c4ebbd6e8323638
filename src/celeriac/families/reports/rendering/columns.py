"""Which columns a file has."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.families.reports.rendering.errors import LayoutInvalid
from celeriac.families.reports.rendering.model import Column


def index_of(columns: Sequence[Column], name: str) -> int:
    """Return where the column of that name is.

    Raises:
        LayoutInvalid: there is none.
    """
    for index, column in enumerate(columns):
        if column.name == name:
            return index
    known = ", ".join(repr(column.name) for column in columns[:12])
    raise LayoutInvalid(f"the report has no column {name!r}: it has {known}")


def chosen(columns: Sequence[Column], names: Sequence[str] | None) -> list[int]:
    """Return the places of these columns, or of all."""
    if names is None:
        return list(range(len(columns)))
    if not names:
        raise LayoutInvalid("`columns` is empty: name at least one column, or leave it out")
    return [index_of(columns, name) for name in names]
