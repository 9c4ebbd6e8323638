"""Which characters the fonts of a report can show. The report says what none of them has: it would be an empty box."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import typst

from celeriac.families.reports.rendering import fonts
from celeriac.families.reports.rendering.errors import LayoutInvalid
from celeriac.families.reports.rendering.model import Theme

_NAMED_AT_MOST = 5
#: Categories of Unicode that are not seen: control, format, surrogates, private use, unassigned, and spaces.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"))


@cache
def _all_fonts(own: str) -> list[typst.FontInfo]:
    folders = list(fonts.folders(Path(own) if own else None))
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders).fonts()


def check_font(theme: Theme) -> None:
    """Refuse a font that is not there.

    Raises:
        LayoutInvalid: the message says where to put it.
    """
    families = sorted({font.family for font in _all_fonts(str(theme.font_folder or ""))})
    if theme.font.casefold() not in map(str.casefold, families):
        raise LayoutInvalid(
            f"there is no font {theme.font!r}, only {', '.join(families)[:200]}: put its TTF or OTF files into the "
            "folder that CELERIAC_REPORTS_FONT_FOLDER names"
        )


def unshown(signs: Iterable[str], theme: Theme) -> list[str]:
    """Return the names of scripts and signs that no font of the theme has, at most a few."""
    shown = _covered(str(theme.font_folder or ""))
    lacking = sorted(sign for sign in set(signs) if ord(sign) not in shown and _is_seen(sign))
    return list(dict.fromkeys(map(_name, lacking)))[:_NAMED_AT_MOST]


def _is_seen(sign: str) -> bool:
    return unicodedata.category(sign) not in _UNSEEN and not 0xFE00 <= ord(sign) <= 0xFE0F


def _name(sign: str) -> str:
    """Return the script of a letter, else the code of the sign."""
    if unicodedata.category(sign)[0] in "LMN" and (name := unicodedata.name(sign, "")):
        return name.split()[0].title()
    return f"U+{ord(sign):04X}"


@cache
def _covered(own: str) -> frozenset[int]:
    found: set[int] = set()
    for path in {font.path for font in _all_fonts(own) if font.path}:
        for first, last in _ranges(Path(path).read_bytes()):
            found.update(range(first, last + 1))
    return frozenset(found)


def _ranges(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the ranges of characters that a TTF, OTF or TTC file has, by the `cmap` tables of its fonts."""
    starts = [0]
    if content[:4] == b"ttcf":
        (count,) = struct.unpack_from(">I", content, 8)
        starts = list(struct.unpack_from(f">{count}I", content, 12))
    for start in starts:
        (tables,) = struct.unpack_from(">H", content, start + 4)
        for place in range(start + 12, start + 12 + 16 * tables, 16):
            tag, _, offset, _ = struct.unpack_from(">4sIII", content, place)
            if tag == b"cmap":
                yield from _mapped(content, offset)


def _mapped(content: bytes, cmap: int) -> Iterator[tuple[int, int]]:
    (count,) = struct.unpack_from(">H", content, cmap + 2)
    for place in range(cmap + 4, cmap + 4 + 8 * count, 8):
        platform, _, offset = struct.unpack_from(">HHI", content, place)
        table = cmap + offset
        (kind,) = struct.unpack_from(">H", content, table)
        if platform not in (0, 3):
            continue
        if kind == 4:
            segments = struct.unpack_from(">H", content, table + 6)[0] // 2
            last = struct.unpack_from(f">{segments}H", content, table + 14)
            first = struct.unpack_from(f">{segments}H", content, table + 16 + 2 * segments)
            yield from ((a, b) for a, b in zip(first, last, strict=True) if a != 0xFFFF)
        elif kind == 12:
            (groups,) = struct.unpack_from(">I", content, table + 12)
            for group in range(table + 16, table + 16 + 12 * groups, 12):
                yield struct.unpack_from(">II", content, group)
