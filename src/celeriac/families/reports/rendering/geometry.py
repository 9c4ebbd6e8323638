"""How much room there is, and how columns share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.families.reports.rendering.formats import is_label
from celeriac.families.reports.rendering.model import NUMBERS, Column, Layout

MM = 72 / 25.4
PAPERS = {
    "a3": (297 * MM, 420 * MM),
    "a4": (210 * MM, 297 * MM),
    "a5": (148 * MM, 210 * MM),
    "us-letter": (612.0, 792.0),
    "us-legal": (612.0, 1008.0),
}
MARGIN_X, MARGIN_TOP, MARGIN_BOTTOM = 18 * MM, 24 * MM, 20 * MM
SIZE, SMALLEST = 8.5, 5.0
_READABLE = 6.5
#: Room before and behind the text of a cell, in parts of the font's size.
PADDING = 0.65

# Widths of the characters from " " to "~" in Noto Sans, in thousandths of its size.
# fmt: off
_WIDTHS = (
    260, 269, 408, 646, 572, 831, 732, 225, 300, 300, 551, 572, 268, 322, 268, 372, 572, 572, 572, 572,
    572, 572, 572, 572, 572, 572, 268, 268, 572, 572, 572, 434, 899, 639, 650, 632, 730, 556, 519, 728,
    741, 339, 273, 619, 524, 907, 760, 781, 605, 781, 622, 549, 556, 731, 600, 930, 586, 566, 572, 329,
    372, 329, 572, 444, 281, 561, 615, 480, 615, 564, 344, 615, 618, 258, 258, 534, 258, 935, 618, 605,
    615, 615, 413, 479, 361, 618, 508, 786, 529, 510, 470, 380, 551, 380, 572,
)
# fmt: on

_INVISIBLE = frozenset((0xAD, 0x061C, 0x200B, 0x200E, 0x200F))


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the table on it, in points. `widths` are those of the columns, and fill `room`."""

    width: float
    height: float
    landscape: bool
    size: float
    widths: Sequence[float]

    @property
    def room(self) -> float:
        """The width between the margins."""
        return self.width - 2 * MARGIN_X


def ems(text: str) -> float:
    """Return about how wide the text is, in parts of the font's size."""
    total = 0
    for sign in text:
        code = ord(sign)
        if 32 <= code < 127:
            total += _WIDTHS[code - 32]
        elif code not in _INVISIBLE:
            total += 1_000 if code >= 0x2E80 else 600
    return total / 1_000


def is_right(column: Column) -> bool:
    """Tell whether the column's values stand at the right: digits of one weight below each other.

    Ids and years stand at the left, as the names that they are.
    """
    return column.kind in NUMBERS and not is_label(column)


def wider(layout: Layout) -> float:
    """Return how much wider texts may be than they are measured, which is in Noto Sans."""
    return 1.0 if layout.theme.font == "Noto Sans" else 1.15


def plan(
    columns: Sequence[Column],
    titles: Sequence[str],
    samples: Sequence[Sequence[str]],
    layout: Layout,
    *,
    wraps: bool,
) -> Page:
    """Return the page and the widths of columns that show the sampled rows, the totals among them.

    Numbers are never cut: a smaller font makes room for them. Long texts are cut; or they are wrapped before the font
    becomes hard to read.
    """
    cells = [
        (column, title, [row[i] for row in samples])
        for i, (column, title) in enumerate(zip(columns, titles, strict=True))
    ]
    needs = [_need(*one) * wider(layout) for one in cells]
    least = [min(need, _least(*one, need, wraps=wraps)) for one, need in zip(cells, needs, strict=True)]
    short, tall = PAPERS[layout.paper]
    wanted = sum(needs) * SIZE
    landscape = layout.orientation == "landscape" or (
        layout.orientation == "auto" and wanted > (short - 2 * MARGIN_X) * 1.15 and len(columns) > 5
    )
    width, height = (tall, short) if landscape else (short, tall)
    room = width - 2 * MARGIN_X
    size = max(SMALLEST, min(SIZE, room / sum(needs)))
    if wraps and size < _READABLE:
        size = max(SMALLEST, min(_READABLE, room / sum(least)))
    return Page(width, height, landscape, round(size, 2), _shares(needs, least, room / size, room))


def _need(column: Column, title: str, values: Sequence[str]) -> float:
    longest = sorted(values, key=len, reverse=True)
    widths = sorted(map(ems, longest[:40]), reverse=True)
    head = ems(title) * 1.08
    if column.kind in NUMBERS:
        return max(min(head, 14), *widths[:1], 2.5) + 2 * PADDING
    usual = widths[len(widths) // 10] if widths else 0.0
    if widths and widths[0] <= usual * 1.4:
        usual = widths[0]  # else a few long texts would make the column wide
    return max(min(head, 12), min(usual * 1.04 + 0.4, 26), 2.5) + 2 * PADDING


def _least(column: Column, title: str, values: Sequence[str], need: float, *, wraps: bool) -> float:
    """Return how narrow a column may become: a text that is wrapped keeps its words whole, unless they are long."""
    if column.kind != "text":
        return math.inf
    if not wraps:
        return 4.0
    words = {word for value in values for word in value.replace("\u200b", " ").replace("\xad", " ").split()}
    longest = sorted((*words, *title.split()), key=len, reverse=True)
    widest = min(max((ems(word) for word in longest[:40]), default=0.0) * 1.04 + 0.2, 12)
    return max(widest + 2 * PADDING, 0.6 * need)  # else it becomes a tower of words


def _shares(needs: Sequence[float], least: Sequence[float], room_ems: float, room: float) -> list[float]:
    """Return widths that fill the room. Too little of it is taken from the widest columns that have some to give."""
    low, high = 0.0, max(needs)
    for _ in range(30):
        cap = (low + high) / 2
        low, high = (low, cap) if sum(_capped(needs, least, cap)) > room_ems else (cap, high)
    needs = needs if sum(needs) <= room_ems else _capped(needs, least, low)
    scale = room / sum(needs)
    return [round(need * scale, 2) for need in needs]


def _capped(needs: Sequence[float], least: Sequence[float], cap: float) -> list[float]:
    return [max(low, min(need, cap)) for need, low in zip(needs, least, strict=True)]
