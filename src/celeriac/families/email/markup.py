"""Cuts HTML into tags, texts and comments, as its standard says (13.2.5), in time in proportion to its length.

It keeps the offset of everything, so that callers can change one attribute and leave the rest as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Elements without content, which have no end tag.
VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
_RAW = frozenset(("style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes"))

_SPACE = re.compile(r"[\s/]*")
_TAG_NAME = re.compile(r"[^\s/>]*")
_ATTRIBUTE_NAME = re.compile(r"=?[^\s/>=]*")
_VALUE_BEGINS = re.compile(r"\s*=\s*")
_UNQUOTED = re.compile(r"[^\s>]*")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text(Span):
    """A text between tags. `inside` names the element whose whole content it is, if that cannot have tags."""

    inside: str = ""


@dataclass(frozen=True, slots=True)
class Comment(Span):
    """A comment, a doctype or the like."""


@dataclass(frozen=True, slots=True)
class Attribute(Span):
    """An attribute; its name in lower case, and where its value is (without quotes)."""

    name: str
    value: Span


@dataclass(frozen=True, slots=True)
class Tag(Span):
    """A start tag, or an end tag (`closes`); its name in lower case."""

    name: str
    closes: bool
    attributes: list[Attribute] = field(default_factory=list[Attribute])
    empty: bool = False

    def attribute(self, name: str) -> Attribute | None:
        """Return the first attribute with this name, as a browser would, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


Piece = Text | Comment | Tag


def scan(html: str) -> Iterator[Piece]:
    """Yield the pieces of the HTML. Together they are all of it, in its order."""
    at = begin = 0
    while (at := html.find("<", at)) >= 0:
        piece = _piece(html, at)
        if piece is None:  # a lone < is text
            at += 1
            continue
        if begin < at:
            yield Text(begin, at)
        yield piece
        at = begin = piece.end
        if isinstance(piece, Tag) and piece.name in _RAW and not piece.closes:
            at = _raw_end(html, at, piece.name)
            if begin < at:
                yield Text(begin, at, piece.name)
            begin = at
    if begin < len(html):
        yield Text(begin, len(html))


def _piece(html: str, at: int) -> Piece | None:
    following = html[at + 1 : at + 2]
    if html.startswith("<!--", at):
        return Comment(at, _after(html, "-->", at + 2 if html.startswith("<!-->", at) else at + 4))
    if following in ("!", "?"):
        return Comment(at, _after(html, ">", at))
    closes = following == "/"
    start = at + 1 + closes
    if not ("a" <= html[start : start + 1].lower() <= "z"):
        return None
    end = _end_of(_TAG_NAME, html, start)
    name = html[start:end].lower()
    attributes: list[Attribute] = []
    while True:
        end = _end_of(_SPACE, html, end)
        if end >= len(html) or html[end] == ">":
            break
        attribute = _attribute(html, end)
        attributes.append(attribute)
        end = attribute.end
    return Tag(at, min(end + 1, len(html)), name, closes, attributes, html[end - 1 : end] == "/")


def _attribute(html: str, at: int) -> Attribute:
    name_end = _end_of(_ATTRIBUTE_NAME, html, at)
    name = html[at:name_end].lower()
    begins = _VALUE_BEGINS.match(html, name_end)
    if begins is None:
        return Attribute(at, name_end, name, Span(name_end, name_end))
    start = begins.end()
    quote = html[start : start + 1]
    if quote in ("'", '"') and quote:
        end = html.find(quote, start + 1)
        if end < 0:
            return Attribute(at, len(html), name, Span(start + 1, len(html)))
        return Attribute(at, end + 1, name, Span(start + 1, end))
    end = _end_of(_UNQUOTED, html, start)
    return Attribute(at, end, name, Span(start, end))


def _raw_end(html: str, at: int, name: str) -> int:
    """Return where the end tag of this element is."""
    while (at := html.find("</", at)) >= 0:
        if (
            html[at + 2 : at + 2 + len(name)].lower() == name
            and not html[at + 2 + len(name) : at + 3 + len(name)].isalnum()
        ):
            return at
        at += 2
    return len(html)


def _after(html: str, what: str, start: int) -> int:
    found = html.find(what, start)
    return len(html) if found < 0 else found + len(what)


def _end_of(expression: re.Pattern[str], html: str, at: int) -> int:
    found = expression.match(html, at)
    return at if found is None else found.end()
