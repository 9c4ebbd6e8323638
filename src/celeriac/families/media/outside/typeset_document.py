"""Makes a PDF of Markdown or HTML. Reads a request from standard input as JSON, and writes the answer.

The document becomes a tree of plain data, which a template of Typst's shows. Nothing is fetched: descriptions stand in
place of pictures, styles and scripts are left out. The answer to a fault is `{"fault": text}`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Node = dict[str, Any]

_DEEPEST = 12  # Typst calls functions in functions some 80 times
_MOST_OPEN = 100
_MOST_NODES = 200_000
_SKIPPED = frozenset({"script", "style", "template", "head", "noscript", "svg", "math", "iframe", "object", "select"})
_BLOCKS = {
    **{"p": "par", "blockquote": "quote", "ul": "list", "ol": "enum", "li": "item", "dl": "div", "dd": "quote"},
    **dict.fromkeys(("div", "section", "article", "main", "header", "footer", "figure", "figcaption", "dt"), "div"),
}
_INLINE = {"strong": "strong", "b": "strong", "em": "emph", "i": "emph", "cite": "emph", "s": "strike", "del": "strike"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_KINDS = frozenset({*_BLOCKS.values(), "heading", "pre", "rule", "table"})
_FONTS = {"fontpkg_noto_sans": "files", "fontpkg_noto_sans_arabic": "files", "pylopdf_fonts_jp": ""}
_LINKS, _LONGEST_LINK = ("http://", "https://", "mailto:"), 8000  # Typst refuses longer ones


class Fault(Exception):
    """The document cannot be made."""


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        answer = make(request)
    except Fault as fault:
        answer = {"fault": str(fault)}
    sys.stdout.write(json.dumps(answer))


def make(request: Node) -> Node:
    """Write the PDF."""
    import typst

    # Parsers have texts for which their time grows with the square of the length.
    signal.signal(signal.SIGPROF, _give_up)
    signal.setitimer(signal.ITIMER_PROF, request["reading_s"])
    document = read(Path(request["path"]).read_bytes(), markdown=request["markdown"])
    signal.setitimer(signal.ITIMER_PROF, 0)
    folder = Path(request["folder"])
    (folder / "document.json").write_text(json.dumps({**document, "paper": request["paper"]}))
    shutil.copyfile(Path(__file__).with_name("document.typ"), folder / "document.typ")
    compiler = typst.Compiler(str(folder / "document.typ"), str(folder), font_paths=_fonts(), package_path=str(folder))
    try:
        made, lacking = _typeset(compiler)
    except RuntimeError as error:
        raise Fault(f"it cannot be typeset: {str(error)[:300]}") from None
    Path(request["made"]).write_bytes(made)
    return {"lacking": lacking}


def _typeset(compiler: Any) -> tuple[bytes, str]:
    """The PDF, and the first text that no font has; that shows as a box."""
    try:
        return compiler.compile(format="pdf", pdf_standards=["a-2u"]), ""
    except RuntimeError as error:  # only for this standard is that an error
        before, found, _ = str(error).partition('"` could not be displayed')
        return compiler.compile(format="pdf"), before.rpartition('`"')[2][:20] if found else ""


def _fonts() -> list[str]:
    """The folders of the packaged fonts. Typst brings some of its own, and finds those of the system."""
    found: list[str] = []
    for package, folder in _FONTS.items():
        spec = find_spec(package)
        found += [str(Path(place, folder)) for place in (spec and spec.submodule_search_locations) or ()]
    return found


def _give_up(*_: Any) -> None:
    """Answer, and end. An exception could be lost, as this may run in a callback."""
    os.write(
        1, json.dumps({"fault": "reading it takes too long: its markup is not as that of other documents"}).encode()
    )
    os._exit(0)


def read(content: bytes, *, markdown: bool) -> Node:
    """The tree of a document, with its title and language."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault(f"it is not UTF-8 text: byte {error.start} cannot be read") from None
    if markdown:
        from markdown_it import MarkdownIt

        text = (
            MarkdownIt("commonmark", {"html": False, "maxNesting": _MOST_OPEN})
            .enable(["table", "strikethrough"])
            .render(text)
        )
    end = text.rfind(">") + 1
    if text.count("<", end) > _MOST_OPEN:  # the end of each tag would be searched in all of the rest
        text = text[:end] + text[end:].replace("<", "&lt;")
    builder = _Builder()
    builder.feed(text)
    builder.close()
    body = builder.root["body"]
    if not body:
        raise Fault("it has no text")
    return {"title": builder.title or _heading(body), "lang": builder.language, "body": body}


def _heading(body: list[Node]) -> str:
    first = next((node for node in body if node["kind"] == "heading"), None)
    return _text(first) if first else ""


def _text(node: Node) -> str:
    return node.get("text", "") + "".join(map(_text, node.get("body", [])))


class _Builder(HTMLParser):
    """Builds the tree. Whatever it does not know it passes over, with its text kept."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Node = {"kind": "div", "body": []}
        self.title, self.language = "", "en"
        self._open: list[tuple[str, Node]] = [("", self.root)]
        self._skipping: list[str] = []
        self._in_title = False
        self._pre = 0
        self._nodes = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "html":
            language = (told.get("lang") or "")[:2].lower()
            self.language = language if language.isascii() and language.isalpha() and len(language) == 2 else "en"
        elif tag == "title":
            self._in_title = True
        elif tag == "body":
            self._skipping.clear()
        elif tag in _SKIPPED:
            if tag not in self._skipping:  # the first end closes all of them
                self._skipping.append(tag)
        elif not self._skipping and len(self._open) < _MOST_OPEN:
            self._begin(tag, told)

    def _begin(self, tag: str, told: dict[str, str | None]) -> None:
        if tag in ("br", "hr"):
            self._add({"kind": "break" if tag == "br" else "rule"})
        elif tag == "img":
            self._add({"kind": "text", "text": f"[{told.get('alt') or 'picture'}]"})
        elif tag == "pre":
            self._pre += 1
            self._push(tag, {"kind": "pre", "text": []})
        elif tag == "code" and not self._pre:
            self._push(tag, {"kind": "code", "text": []})
        elif tag == "a" and (link := told.get("href") or "").lower().startswith(_LINKS) and len(link) <= _LONGEST_LINK:
            self._push(tag, {"kind": "link", "target": link, "body": []})
        elif tag == "table":
            self._push(tag, {"kind": "table", "rows": [], "columns": 0})
        elif tag == "tr" and (table := self._table()) is not None:
            self._close("cell")
            if len(self._open) <= _DEEPEST:
                table["rows"].append([])
        elif tag in ("td", "th") and (table := self._table()) is not None:
            self._cell(table, _cell(head=tag == "th", right="right" in f"{told.get('style')} {told.get('align')}"))
        elif tag in _HEADINGS:
            self._push(tag, {"kind": "heading", "level": _HEADINGS[tag], "body": []})
        elif kind := _BLOCKS.get(tag) or _INLINE.get(tag):
            start = told.get("start") or "1"
            more = {"start": int(start) if start.isdecimal() and len(start) < 7 else 1} if kind == "enum" else {}
            if kind in ("par", "item"):
                self._close(kind)
            self._push(tag, {"kind": kind, "body": [], **more})

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif self._skipping:
            if tag in self._skipping:
                del self._skipping[self._skipping.index(tag) :]
        elif tag in ("td", "th"):
            self._close("cell")
        elif any(opened == tag for opened, _ in self._open[1:]):
            while self._open[-1][0] != tag:
                self._pop()
            self._pop()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = f"{self.title}{data}".strip()[:300]
            return
        if self._skipping:
            return
        node = self._open[-1][1]
        if "text" in node:
            node["text"].append(data)
            return
        text = data if self._pre else _spaced(data)
        if node["kind"] in ("table", "list", "enum") or (text == " " and not node["body"]):
            return
        if text.strip() or text == " ":
            self._add({"kind": "text", "text": text})

    def _add(self, node: Node) -> None:
        self._count()
        parent = self._open[-1][1]
        if parent["kind"] in ("list", "enum") and node["kind"] != "item":
            node = {"kind": "item", "body": [node]}
        if "body" in parent:
            parent["body"].append(node)

    def _count(self, more: int = 1) -> None:
        self._nodes += more
        if self._nodes > _MOST_NODES:
            raise Fault(f"it has more than {_MOST_NODES:,} parts")

    def _push(self, tag: str, node: Node) -> None:
        if len(self._open) > _DEEPEST and node["kind"] not in ("pre", "code"):
            node = self._open[-1][1]  # deeper parts stand in the last that is shown as one
        elif "body" in self._open[-1][1]:
            self._add(node)
        self._open.append((tag, node))

    def _pop(self) -> None:
        tag, _ = self._open.pop()
        self._pre -= tag == "pre"

    def _close(self, kind: str) -> None:
        """End an open part whose end tag may be left out."""
        if self._open[-1][1]["kind"] == kind and len(self._open) > 1:
            self._pop()

    def _table(self) -> Node | None:
        return next((node for _, node in reversed(self._open) if node["kind"] == "table"), None)

    def _cell(self, table: Node, cell: Node) -> None:
        self._close("cell")
        if not table["rows"]:
            table["rows"].append([])
        self._count()
        table["rows"][-1].append(cell)
        table["columns"] = max(table["columns"], len(table["rows"][-1]))
        self._open.append(("td", cell))

    def close(self) -> None:
        super().close()
        while len(self._open) > 1:
            self._pop()
        self._tidy(self.root)

    def _tidy(self, node: Node) -> None:
        """Join texts, give each row of a table as many cells, and drop what is empty."""
        if node["kind"] in ("pre", "code"):
            node["text"] = "".join(node["text"]).removesuffix("\n" if node["kind"] == "pre" else "")
        for row in node.get("rows", ()):
            lacking = node["columns"] - len(row)
            self._count(lacking)
            row.extend(_cell() for _ in range(lacking))
            for cell in row:
                self._tidy(cell)
        if "body" in node:
            for part in node["body"]:
                self._tidy(part)
            has_blocks = any(part["kind"] in _BLOCK_KINDS for part in node["body"])
            node["body"] = [part for part in node["body"] if _shows(part, beside_blocks=has_blocks)]


def _cell(*, head: bool = False, right: bool = False) -> Node:
    return {"kind": "cell", "body": [], "head": head, "right": right}


def _spaced(text: str) -> str:
    words = " ".join(text.split())
    return f"{' ' if text[:1].isspace() else ''}{words}{' ' if words and text[-1:].isspace() else ''}"


def _shows(node: Node, *, beside_blocks: bool) -> bool:
    if node["kind"] == "text" and beside_blocks:
        return bool(node["text"].strip())
    if node["kind"] == "table":
        return node["columns"] > 0
    return bool(node["body"]) if "body" in node else bool(node.get("text", "x"))


if __name__ == "__main__":
    main()
