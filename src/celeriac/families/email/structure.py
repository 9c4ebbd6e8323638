"""Says whether HTML with Jinja in it can be read as HTML."""

from __future__ import annotations

from celeriac.families.email.markup import VOID, Comment, Piece, Tag, Text
from celeriac.families.email.placeholders import Placeholders

_BEGINS = frozenset(("for", "if"))
_ENDS = frozenset(("endfor", "endif"))
_CONTINUES = _ENDS | {"else", "elif"}


def structure_fault(held: Placeholders, html: str, pieces: list[Piece]) -> str | None:
    """Say where the HTML's structure depends on Jinja: in a tag, or in a block that leaves an element open.

    None: it does not, so that it can be read as HTML with Jinja in texts and values.
    """
    opened: list[str] = []
    blocks: list[list[str]] = []  # what was open when each began
    for piece in pieces:
        match piece:
            case Tag():
                if _has_jinja(held, html, piece):
                    return f"line {held.line(html, piece.start)}: Jinja stands in a tag, and not in a value"
                if not piece.closes and piece.name not in VOID:
                    opened.append(piece.name)
                elif piece.closes and piece.name in opened:
                    while opened.pop() != piece.name:
                        pass
                if blocks and opened[: len(blocks[-1])] != blocks[-1]:
                    line = held.line(html, piece.start)
                    return f"line {line}: </{piece.name}> closes what was opened before this block of Jinja"
            case Text(inside="") | Comment():
                text = html[piece.start : piece.end]
                if isinstance(piece, Comment) and not held.is_comment(text):
                    continue
                for number in held.statements(held.numbers(text)):
                    construct = held.constructs[number]
                    if construct.word in _BEGINS:
                        blocks.append(list(opened))
                    elif construct.word in _CONTINUES and (not blocks or blocks[-1] != opened):
                        return f"line {construct.line}: {construct.source[:40]} comes before an element is closed"
                    if construct.word in _ENDS:
                        blocks.pop()
            case _:
                pass
    return "a block of Jinja is not closed" if blocks else None


def _has_jinja(held: Placeholders, html: str, tag: Tag) -> bool:
    """Return whether there is Jinja in a tag outside of the values of its attributes."""
    if held.prefix not in html[tag.start : tag.end]:
        return False
    inside = sum(html[a.value.start : a.value.end].count(held.prefix) for a in tag.attributes)
    return inside < html[tag.start : tag.end].count(held.prefix)
