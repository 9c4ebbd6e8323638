"""Inlines the CSS of `<style>` elements, for mail programs that do not read those. Jinja in the HTML is kept.

All CSS also stays in its `<style>`: rules for `:hover` or `@media` work only there, and so do rules that cannot be read
and classes that a recipient's data choose. What is inlined stands before what a `style` attribute has already said, so
the attribute has the last word, as it had before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from celeriac.families.email.compiling import compiled
from celeriac.families.email.markup import Attribute, Piece, Span, Tag, Text, scan
from celeriac.families.email.placeholders import PlaceholderLost, Placeholders
from celeriac.families.email.structure import structure_fault

_MARK = re.compile(r"""/\*|\\.|["'{};]""")
_IN_STRING = re.compile(r"""\\.|["'\n]""")
_TBODY = "<tbody>"
_BEFORE_ROWS = frozenset((("table", False), ("thead", True), ("caption", True), ("colgroup", True)))
#: Attributes of our own in what the inliner gets: it leaves such a `<style>` alone; and the number of a `style`.
_IGNORED = 'data-css-inline="ignore"'
_KEPT = "data-celeriac-style"
_ON_SCREEN = frozenset(("", "all", "screen"))


@dataclass(frozen=True, slots=True)
class Inlined:
    """HTML with its CSS inlined, and what could not be, each with its line in the template."""

    html: str
    warnings: list[str]


async def inline_css(html: str, only: Collection[str] | None = None) -> Inlined:
    """Inline the CSS of the `<style>` elements; if `only` is given, of those with this content.

    HTML whose structure depends on Jinja cannot be written anew, and stays as it is, with a warning.

    Raises:
        TemplateInvalid: it is no Jinja template, or takes too much time or memory.
    """
    held = Placeholders("html", html)
    pieces = list(scan(held.text))
    warnings: list[str] = []
    rules = list(_rules_to_inline(held, pieces, only, warnings))
    if not rules:
        return Inlined(html, warnings)
    fault = f"it has an attribute {_KEPT}" if _KEPT in html.lower() else structure_fault(held, held.text, pieces)
    if fault is not None:
        return Inlined(html, [f"the CSS is not inlined, and stays in <style>: {fault}", *warnings])
    prepared, styles = _prepared(held, pieces)
    answer = await compiled("html", {"html": prepared, "rules": rules})
    unread: list[int] = answer["unread"]
    for number in unread:
        warnings.append(f"the CSS rule {held.put_back(rules[number])[:80]!r} cannot be read, and stays in <style>")
    whole = _with_styles(held, prepared, answer["html"], styles)
    if whole is None or structure_fault(held, whole, list(scan(whole))) is not None:
        lost = "Jinja, or a style, stands where HTML has no place for it"
        return Inlined(html, [f"the CSS is not inlined, and stays in <style>: {lost}", *warnings])
    return Inlined(held.put_back(whole), warnings)


def _rules_to_inline(
    held: Placeholders, pieces: list[Piece], only: Collection[str] | None, warnings: list[str]
) -> Iterator[str]:
    style: Tag | None = None
    for piece in pieces:
        if isinstance(piece, Tag):
            style = piece if piece.name == "style" else None
            if only is None and piece.name == "link" and "stylesheet" in _value(held, piece, "rel").lower():
                line = held.line(held.text, piece.start)
                warnings.append(f"line {line}: a style sheet with an address is not inlined; put its CSS into <style>")
        elif isinstance(piece, Text) and style is not None and piece.inside == "style":
            sheet = held.text[piece.start : piece.end]
            if _value(held, style, "media").strip().lower() not in _ON_SCREEN:
                continue
            if only is not None and held.put_back(sheet) not in only:
                continue
            if held.statements(held.numbers(sheet)):
                warnings.append(f"line {held.line(held.text, piece.start)}: CSS with {{% %}} stays in <style>")
                continue
            for rule in css_rules(sheet):
                if held.prefix in rule.partition("{")[0]:
                    warnings.append(
                        f"the CSS rule {held.put_back(rule)[:80]!r} has Jinja before its {{, and stays in <style>"
                    )
                else:
                    yield rule


def _value(held: Placeholders, tag: Tag, name: str) -> str:
    attribute = tag.attribute(name)
    return "" if attribute is None else held.text[attribute.value.start : attribute.value.end]


def css_rules(sheet: str) -> Iterator[str]:
    """Yield the rules of a style sheet that select elements. What begins with @ is left out, with all that is in it."""
    start = depth = at = 0
    while (found := _MARK.search(sheet, at)) is not None:
        at, mark = found.end(), found[0]
        if mark == "/*":
            end = sheet.find("*/", at)
            comment_end = len(sheet) if end < 0 else end + 2
            if not sheet[start : found.start()].strip():
                start = comment_end
            at = comment_end
        elif mark in ("'", '"'):
            at = _string_end(sheet, at, mark)
        elif mark == "{":
            depth += 1
        elif mark == "}":
            depth = max(0, depth - 1)
        if depth == 0 and mark in (";", "}"):
            rule = sheet[start:at].replace("<!--", "").replace("-->", "").strip()
            if "{" in rule and not rule.startswith("@"):
                yield rule
            start = at


def _string_end(sheet: str, at: int, quote: str) -> int:
    """Return the end of a string: its quote, or the end of the line, where CSS ends one that is not closed."""
    while (found := _IN_STRING.search(sheet, at)) is not None:
        at = found.end()
        if found[0] in (quote, "\n"):
            return at
    return len(sheet)


def _prepared(held: Placeholders, pieces: list[Piece]) -> tuple[str, list[str]]:
    """Return the HTML for the inliner, and the values of its `style` attributes, which it does not get to read.

    It gives up at one that it cannot read, and writes all of them anew.
    """
    parts: list[str] = []
    styles: list[str] = []
    for before, piece, after in zip([None, *pieces], pieces, [*pieces[1:], None], strict=False):
        part = held.text[piece.start : piece.end]
        if isinstance(piece, Text) and not piece.inside:
            rows = _TBODY if _begins_rows(before, after) and held.prefix in part else ""
            part = rows + held.replace(part, held.as_comment)
        elif isinstance(piece, Tag) and not piece.closes:
            if piece.name == "style":
                part = f"<style {_IGNORED} {part[len('<style') :]}"
            style = piece.attribute("style")
            if style is not None:
                value = held.text[style.value.start : style.value.end]
                part = (
                    f'{held.text[piece.start : style.start]}{_KEPT}="{len(styles)}"{held.text[style.end : piece.end]}'
                )
                styles.append(value.replace('"', "&quot;"))
        parts.append(part)
    return "".join(parts), styles


def _begins_rows(before: Piece | None, after: Piece | None) -> bool:
    """Return whether HTML would begin a <tbody> of its own behind what is between these two: inside a loop."""
    return (
        isinstance(before, Tag)
        and (before.name, before.closes) in _BEFORE_ROWS
        and isinstance(after, Tag)
        and (after.name, after.closes) == ("tr", False)
    )


def _with_styles(held: Placeholders, prepared: str, html: str, styles: list[str]) -> str | None:
    """Put the `style` attributes back, behind what was inlined. None: something was lost on the way."""
    try:
        if _placeholders_of(held, prepared) != _placeholders_of(held, html):
            return None
    except PlaceholderLost:
        return None
    parts: list[str] = []
    kept: set[int] = set()
    for piece in scan(html):
        part = html[piece.start : piece.end]
        if isinstance(piece, Tag):
            marked = piece.attribute(_KEPT)
            if marked is not None:
                number = int(html[marked.value.start : marked.value.end])
                kept.add(number)
                part = _with_style(html, piece, marked, styles[number])
            elif piece.name == "style":
                part = part.replace(f" {_IGNORED}", "", 1)
        parts.append(part)
    return "".join(parts) if len(kept) == len(styles) else None


def _with_style(html: str, tag: Tag, marked: Attribute, value: str) -> str:
    inlined = tag.attribute("style")
    cuts = [Span(marked.start, marked.end)]
    if inlined is not None:
        cuts.append(Span(inlined.start, inlined.end))
        before = html[inlined.value.start : inlined.value.end].strip().rstrip(";")
        value = f"{before};{value}" if before else value
    parts: list[str] = []
    at = tag.start
    for cut in sorted(cuts, key=lambda span: span.start):
        parts.append(html[at : cut.start].rstrip())
        at = cut.end
    rest = html[at : tag.end]
    return f'{"".join(parts)} style="{value}"{rest}'


def _placeholders_of(held: Placeholders, html: str) -> list[int]:
    """Return the placeholders in their order, but those in CSS, which is inlined as often as it fits."""
    found: list[int] = []
    for piece in scan(html):
        if isinstance(piece, Tag):
            values = (html[a.value.start : a.value.end] for a in piece.attributes if a.name != "style")
            found += sorted(number for value in values for number in held.numbers(value))  # `class` comes first now
        elif not (isinstance(piece, Text) and piece.inside == "style"):
            found += held.numbers(html[piece.start : piece.end])
    return found
