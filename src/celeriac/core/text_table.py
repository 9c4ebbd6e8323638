"""Lays out tables of text that fit into a width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import typer

_GAP = "  "


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, and how it may shrink in a narrow terminal.

    Attributes:
        name: the title.
        shortest: the width in characters to which it may be cut; None: never cut it.
        keeps_end: whether to cut off the beginning of a cell, rather than the end.
        dispensable: the order in which columns are left out, highest first; 0: never.
        right: whether to align cells to the right.
        colour: the colour of a cell, or None.
    """

    name: str
    shortest: int | None = None
    keeps_end: bool = False
    dispensable: int = 0
    right: bool = False
    colour: Callable[[str], str | None] = lambda _cell: None


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *, coloured: bool = False
) -> list[str]:
    """Return the lines of a table of `width` characters, its head first. Leave empty columns out."""
    table = [(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    table = [(column, cells) for column, cells in table if any(cells)]
    while _width(natural := [_natural(*part) for part in table]) > width:
        dispensable = max((column.dispensable for column, _ in table), default=0)
        if not dispensable:
            break
        table = [(column, cells) for column, cells in table if column.dispensable != dispensable]
    widths = _cut([column for column, _ in table], natural, width)
    lines = [_line([(column, column.name) for column, _ in table], widths, coloured=False)]
    for number in range(len(rows)):
        lines.append(_line([(column, cells[number]) for column, cells in table], widths, coloured=coloured))
    return lines


def _natural(column: Column, cells: Sequence[str]) -> int:
    return max(len(column.name), *map(len, cells))


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _cut(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Narrow the widest column that may be cut, until the table fits or no column can shrink further."""
    left = list(widths)
    while _width(left) > width:
        can_give = [i for i, c in enumerate(columns) if c.shortest is not None and left[i] > c.shortest]
        if not can_give:
            break
        left[max(can_give, key=left.__getitem__)] -= 1
    return left


def _line(cells: Sequence[tuple[Column, str]], widths: Sequence[int], *, coloured: bool) -> str:
    shown: list[str] = []
    for (column, cell), width in zip(cells, widths, strict=True):
        text = cell
        if len(cell) > width:
            text = f"…{cell[len(cell) - width + 1 :]}" if column.keeps_end else f"{cell[: width - 1]}…"
        padded = text.rjust(width) if column.right else text.ljust(width)
        colour = column.colour(cell) if coloured else None
        shown.append(padded if colour is None else typer.style(padded, fg=colour))
    return _GAP.join(shown).rstrip()
