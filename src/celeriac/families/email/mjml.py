"""Compiles MJML to HTML. Jinja in it is kept: it is compiled by nobody but Jinja, when a mail is rendered.

The MJML library knows neither Jinja nor HTML that is not XML, and names no lines. So it gets a skeleton: placeholders
stand for Jinja and for the contents of the elements that hold HTML, which it would only copy. The skeleton is XML, and
is checked as such, with lines, before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from celeriac.families.email.compiling import compiled
from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.markup import Tag, Text, scan
from celeriac.families.email.placeholders import Construct, PlaceholderLost, Placeholders

NAME = "mjml"
#: Most levels of elements in elements. A layout has some six.
_MAX_DEPTH = 30

#: Elements that hold HTML or text, which is copied. In `mj-style` it is CSS.
_COPIED = frozenset(
    ("mj-accordion-text", "mj-accordion-title", "mj-button", "mj-navbar-link", "mj-preview", "mj-raw",
     "mj-social-element", "mj-style", "mj-table", "mj-text")
)  # fmt: skip
_KNOWN = _COPIED | frozenset(
    ("mjml", "mj-head", "mj-body", "mj-accordion", "mj-accordion-element", "mj-all", "mj-attributes", "mj-breakpoint",
     "mj-carousel", "mj-carousel-image", "mj-class", "mj-column", "mj-divider", "mj-font", "mj-group", "mj-hero",
     "mj-html-attribute", "mj-html-attributes", "mj-image", "mj-navbar", "mj-section", "mj-selector", "mj-social",
     "mj-spacer", "mj-title", "mj-wrapper")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compiled:
    """The HTML, with Jinja, and the CSS that MJML says to inline (`<mj-style inline="inline">`)."""

    html: str
    inline: list[str]


async def compile_mjml(source: str) -> Compiled:
    """Compile MJML.

    Raises:
        TemplateInvalid: names the line, and what to change.
    """
    held = Placeholders(NAME, source)
    inline: list[str] = []
    skeleton = "".join(_skeleton(held, inline))
    _check(held, skeleton)
    answer = await compiled(NAME, {"mjml": skeleton})
    if "error" in answer:
        raise TemplateInvalid(NAME, None, f"is no MJML: {answer['error']}")
    html: str = answer["html"]
    _check_kept(held, skeleton, html)
    return Compiled(_filled(held, html), [held.put_back(css) for css in inline])


def _skeleton(held: Placeholders, inline: list[str]) -> Iterator[str]:
    """Yield the parts of the skeleton. Add the CSS to inline to `inline`."""
    text = held.text
    opened: Tag | None = None  # the element whose content is copied
    inside = ""
    for piece in scan(text):
        part = text[piece.start : piece.end]
        if opened is not None:
            if not (isinstance(piece, Tag) and piece.closes and piece.name == opened.name):
                continue
            content = text[opened.end : piece.start]
            if opened.name == "mj-style" and _says_inline(text, opened):
                inline.append(content)
            yield held.add(Construct("content", content, 0)) if content else ""
            opened = None
        elif isinstance(piece, Tag) and piece.name in _COPIED and not piece.closes and not piece.empty:
            opened = piece
        if isinstance(piece, Tag):
            inside = "" if piece.closes else piece.name
            yield _with_entities(_without_repeats(text, piece))
        elif isinstance(piece, Text) and inside == "mj-title":  # it becomes a value of an attribute, too
            yield _with_entities(part).replace('"', "&quot;")
        elif isinstance(piece, Text):
            yield held.replace(part, held.as_comment)
        else:
            yield part
    if opened is not None:
        raise TemplateInvalid(NAME, held.line(text, opened.start), f"<{opened.name}> is not closed")


def _says_inline(text: str, tag: Tag) -> bool:
    attribute = tag.attribute("inline")
    return attribute is not None and text[attribute.value.start : attribute.value.end] == "inline"


def _without_repeats(text: str, tag: Tag) -> str:
    """Return a tag with the first attribute of each name only, as MJML reads it. XML takes no second one."""
    seen = set[str]()
    parts, at = list[str](), tag.start
    for attribute in tag.attributes:
        name = text[attribute.start : attribute.start + len(attribute.name)]
        if name in seen:
            lines = text.count("\n", attribute.start, attribute.end)
            parts += [text[at : attribute.start], "\n" * lines]
            at = attribute.end
        seen.add(name)
    return "".join((*parts, text[at : tag.end]))


def _with_entities(tag: str) -> str:
    """Write `&` as XML wants it, and MJML does not: `href="?a=1&b=2"`."""
    parts = tag.split("&")
    return parts[0] + "".join(f"&{part}" if _is_entity(part) else f"&amp;{part}" for part in parts[1:])


def _is_entity(following: str) -> bool:
    name, semicolon, _ = following[:12].partition(";")
    return bool(semicolon) and (name in ("amp", "lt", "gt", "quot", "apos") or name[:1] == "#")


def _check(held: Placeholders, skeleton: str) -> None:
    """Check that the skeleton is XML, and has only what MJML knows.

    Raises:
        TemplateInvalid: the first fault.
    """
    parser = expat.ParserCreate()
    depth = 0
    seen: set[str] = set()

    def line() -> int:
        return held.line(skeleton, len(skeleton.encode()[: parser.CurrentByteIndex].decode(errors="ignore")))

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if name == "mj-include":
            raise TemplateInvalid(NAME, line(), "<mj-include> is not available: put its content here")
        if name not in _KNOWN:
            raise TemplateInvalid(NAME, line(), f"MJML has no <{name[:80]}>; HTML belongs into <mj-text> or <mj-raw>")
        if depth > _MAX_DEPTH:
            raise TemplateInvalid(NAME, line(), f"elements are nested more than {_MAX_DEPTH} levels deep")
        seen.add(name)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise TemplateInvalid(NAME, line(), "a document type is not available")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        parser.Parse(skeleton.encode(), True)
    except expat.ExpatError as error:
        raise TemplateInvalid(NAME, line(), f"is no MJML: {expat.ErrorString(error.code)}") from None
    if not {"mjml", "mj-body"} <= seen:
        raise TemplateInvalid(NAME, 1, "is no MJML: it needs <mjml> with <mj-body> in it")


def _check_kept(held: Placeholders, skeleton: str, html: str) -> None:
    """Check that MJML has kept each placeholder: a statement once and in its place in the order, a value at least once.

    Raises:
        TemplateInvalid: one is lost: a value stands where MJML needs a number, for example.
    """
    try:
        before, after = held.numbers(skeleton), held.numbers(html)
    except PlaceholderLost:
        raise TemplateInvalid(NAME, None, "MJML computes with a value of Jinja; write a number there") from None
    kept = set(after)
    for number in before:
        construct = held.constructs[number]
        if number not in kept and construct.kind in ("value", "statement", "raw"):
            hint = "put it around HTML in <mj-raw>" if construct.kind == "statement" else "write a constant there"
            raise TemplateInvalid(NAME, construct.line, f"MJML has no place here for {construct.source[:80]}; {hint}")
    if held.statements(before) != held.statements(after):
        line = held.constructs[held.statements(before)[0]].line
        raise TemplateInvalid(NAME, line, "MJML does not keep the order of {% %} here; put them into <mj-raw>")


def _filled(held: Placeholders, html: str) -> str:
    """Put back the contents, and then the Jinja in them and around them."""
    filled = held.put_back(html)
    return held.put_back(filled)
