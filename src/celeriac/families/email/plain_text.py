"""Makes the plain text of a mail from its HTML: links, lists and tables can be read, and what is hidden is left out.

It works on a template as on HTML: each piece becomes a text with marks for breaks, and `finish` turns the marks of the
rendered text into line ends. So the text of a mailing is a template too, made once, and rendering it is as fast as
rendering a text that somebody wrote. Only where the structure depends on the data, each mail's HTML is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape

from celeriac.families.email.markup import VOID, Piece, Tag, Text, scan
from celeriac.families.email.placeholders import Placeholders
from celeriac.families.email.structure import structure_fault

#: Marks: a new cell, a new paragraph, a new line, a line end, and what joins a bullet to its text, or is a space.
_CELL, _PARAGRAPH, _LINE, _BREAK, _GLUE, _SPACE = "\x1c", "\x1d", "\x1e", "\x1f", "\x05", "\x02"
_PARAGRAPHS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "hr"))
_LINES = frozenset(
    ("address", "article", "aside", "center", "dd", "div", "dt", "fieldset", "figcaption", "figure", "footer", "form",
     "header", "li", "main", "nav", "section", "tbody", "tfoot", "thead", "tr", "caption", "body")
)  # fmt: skip
_LEFT_OUT = frozenset(("head", "style", "script", "title", "textarea", "select", "template", "noscript", "object"))
_NOT_SHOWN = ("display:none", "visibility:hidden", "mso-hide:all")

_WHITE = re.compile("[ \t\r\n\f\v\xa0\u2000-\u200a\u202f]+")
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2060\ufeff]+")
_AFTER_BULLET = re.compile("\x05[ \x1c-\x1f]*")
_MARKS = re.compile(" ?[\x1c-\x1f][ \x1c-\x1f]*")


@lru_cache(maxsize=16)
def text_template(html: str) -> str | None:
    """Make a Jinja template of the text from a template of HTML. Its rendered text is for `finish`.

    None: the structure depends on the data (or a value may be HTML itself), so the text can only be made of the
    HTML of each mail.

    Raises:
        TemplateInvalid: it is no Jinja template.
    """
    held = Placeholders("html", html)
    pieces = list(scan(held.text))
    if any(construct.kind == "value" and "safe" in construct.source for construct in held.constructs):
        return None
    if structure_fault(held, held.text, pieces) is not None:
        return None
    writer = _Writer(held.text, held)
    text = writer.write(pieces)
    left_out = set(range(len(held.constructs))).difference(held.numbers(text))
    if writer.depends or any(held.constructs[number].word == "set" for number in left_out):
        return None
    return held.put_back(text)


def text_of(html: str) -> str:
    """Make the text of HTML that has no Jinja."""
    return finish(_Writer(html, None).write(list(scan(html))))


def finish(text: str) -> str:
    """Turn white space and marks into spaces and line ends, as HTML would be shown."""
    text = _AFTER_BULLET.sub(_GLUE, _WHITE.sub(" ", text))
    text = _MARKS.sub(_break, text)
    return text.replace(_GLUE, " ").replace(_SPACE, " ").strip("\n ") + "\n"


def _break(run: re.Match[str]) -> str:
    marks = run[0]
    if _PARAGRAPH in marks or marks.count(_BREAK) > 1:
        return "\n\n"
    return "\n" if _LINE in marks or _BREAK in marks else " | "


@dataclass
class _Writer:
    """Writes pieces of HTML as a text with marks. `depends`: it cannot be done for a template."""

    html: str
    held: Placeholders | None
    depends: bool = False
    _parts: list[str] = field(default_factory=list[str])
    _lists: list[int | None] = field(default_factory=list["int | None"])
    _links: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    _tables: list[bool] = field(default_factory=list[bool])
    _hidden: list[str] = field(default_factory=list[str])
    _pre: int = 0

    def write(self, pieces: list[Piece]) -> str:
        nested = _with_tables_inside(pieces)
        for piece in pieces:
            if isinstance(piece, Tag):
                self._tag(piece, nested)
            elif isinstance(piece, Text) and not self._hidden and not piece.inside:
                self._text(self.html[piece.start : piece.end])
        return "".join(self._parts)

    def _text(self, raw: str) -> None:
        text = self._plain(raw)
        if self._pre:
            text = text.replace("\n", _BREAK).replace(" ", _SPACE)
        if self.held is not None and any(self._lists) and self.held.statements(self.held.numbers(raw)):
            self.depends = True  # the numbers of list items
        self._parts.append(text)

    def _plain(self, raw: str) -> str:
        text = _INVISIBLE.sub("", unescape(raw)) if "&" in raw or not raw.isascii() else raw
        self.depends = self.depends or text.count("{") != raw.count("{") or "{{" in text or "{%" in text or "{#" in text
        return text

    def _tag(self, tag: Tag, nested: set[int]) -> None:
        if self._hidden:
            if tag.name == self._hidden[-1] and tag.name not in VOID:
                if tag.closes:
                    self._hidden.pop()
                else:
                    self._hidden.append(tag.name)
            return
        if not tag.closes and (tag.name in _LEFT_OUT or self._is_hidden(tag)):
            if tag.name not in VOID:
                self._hidden.append(tag.name)
            return
        if tag.name in _PARAGRAPHS:
            self._parts.append(
                _PARAGRAPH if not (tag.name in ("ul", "ol") and len(self._lists) > tag.closes) else _LINE
            )
        elif tag.name in _LINES:
            self._parts.append(_LINE)
        (self._closed if tag.closes else self._opened)(tag, nested)

    def _opened(self, tag: Tag, nested: set[int]) -> None:
        match tag.name:
            case "br":
                self._parts.append(_BREAK)
            case "hr":
                self._parts.append("-" * 20 + _PARAGRAPH)
            case "img":
                self._parts.append(self._plain(self._value(tag, "alt")))
            case "a":
                self._links.append((len(self._parts), self._plain(self._value(tag, "href")).strip()))
            case "ul" | "ol":
                self._lists.append(1 if tag.name == "ol" else None)
            case "li":
                self._item()
            case "table":
                role = self._value(tag, "role").lower()
                self._tables.append(role in ("presentation", "none") or tag.start in nested)
            case "td" | "th":
                self._parts.append(_LINE if not self._tables or self._tables[-1] else _CELL)
            case "pre":
                self._pre += 1
            case _:
                pass

    def _closed(self, tag: Tag, _: set[int]) -> None:
        match tag.name:
            case "a" if self._links:
                start, address = self._links.pop()
                text = "".join(self._parts[start:]).strip()
                if address and address[0] != "#" and self._told(address).removeprefix("mailto:") != self._told(text):
                    self._parts.append(f" ({address})" if text else address)
            case "ul" | "ol" if self._lists:
                self._lists.pop()
            case "table" if self._tables:
                self._tables.pop()
            case "pre" if self._pre:
                self._pre -= 1
            case _:
                pass

    def _told(self, text: str) -> str:
        return text if self.held is None else self.held.put_back(text)

    def _item(self) -> None:
        number = self._lists[-1] if self._lists else None
        indent = _SPACE * 2 * (len(self._lists) - 1)
        self._parts.append(f"{indent}{'-' if number is None else f'{number}.'}{_GLUE}")
        if number is not None:
            self._lists[-1] = number + 1

    def _value(self, tag: Tag, name: str) -> str:
        attribute = tag.attribute(name)
        return "" if attribute is None else self.html[attribute.value.start : attribute.value.end]

    def _is_hidden(self, tag: Tag) -> bool:
        style = "".join(self._value(tag, "style").lower().split())
        return tag.attribute("hidden") is not None or any(said in style for said in _NOT_SHOWN)


def _with_tables_inside(pieces: list[Piece]) -> set[int]:
    """Return where the tables begin that have tables in them, as they do for the layout only."""
    found: set[int] = set()
    opened: list[int] = []
    for piece in pieces:
        if isinstance(piece, Tag) and piece.name == "table":
            if not piece.closes:
                found.update(opened[-1:])
                opened.append(piece.start)
            elif opened:
                opened.pop()
    return found
