"""Pages of plain table by reportlab: fast, and in constant memory for each page. The look is that of `report.typ`.

Texts are drawn as they are, without shaping. So only characters count as known that need none, and that Noto Sans has.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# reportlab has types for a part only.

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import IO, Any, cast

from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfdoc import PDFZCompress
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from celeriac.families.reports.rendering import fonts
from celeriac.families.reports.rendering.geometry import MARGIN_BOTTOM, MARGIN_TOP, MARGIN_X, PADDING, Page

_FONT = "CeleriacSans"
_INK, _QUIET, _HAIR, _BAND = "#1f2933", "#5f6b7a", "#d9dee5", "#f5f7f9"
_NEARLY = 1.2
_LINE_HEIGHT = 2.0  # of a row, in parts of the font's size
_RANGES = ((0x20, 0x7E), (0xA0, 0x2FF), (0x370, 0x52F), (0x1E00, 0x1FFF), (0x2010, 0x2027), (0x202F, 0x205E))
_MORE = "€₽₹₺\u2212™№\ufffd"
_ESCAPED = {"(": "\\(", ")": "\\)", "\\": "\\\\"}


@cache
def _font() -> TTFont:
    font = TTFont(_FONT, str(fonts.sans_file()))
    pdfmetrics.registerFont(font)
    return font


@cache
def known() -> frozenset[str]:
    """Return the characters that these pages can show."""
    has = _font().face.charToGlyph
    wanted = {chr(code) for first, last in _RANGES for code in range(first, last + 1)} | set(_MORE)
    return frozenset(sign for sign in wanted if ord(sign) in has and ord(sign) != 0xAD)


class _Widths(dict[str, float]):
    """Widths of characters, in parts of the font's size."""

    def __missing__(self, sign: str) -> float:
        width = self[sign] = _font().face.getCharWidth(ord(sign)) / 1_000
        return width


@cache
def _widths() -> _Widths:
    return _Widths()


def width_of(text: str) -> float:
    """Return how wide the text is, in parts of the font's size."""
    return sum(map(_widths().__getitem__, text))


class _Encoder(dict[int, str]):
    """For `str.translate`: characters as the font's first subset has them. It holds as many as one subset can."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__()
        self._document = cast(Any, canvas)._doc
        self.beyond: set[str] = set()

    def __missing__(self, code: int) -> str:
        ((subset, encoded),) = _font().splitString(chr(code), self._document)
        if subset:
            self.beyond.add(chr(code))
            return ""
        byte = encoded[0]
        sign = chr(byte)
        shown = self[code] = _ESCAPED.get(sign, sign) if 32 <= byte < 127 else f"\\{byte:03o}"
        return shown


def _canvas(file: IO[bytes], page: Page) -> Canvas:
    """Make a canvas whose streams are compressed, and not also written in ASCII, which takes a fifth of the time.

    Reportlab has a switch for that (`rl_config.useA85`), for all documents of the process.
    """
    canvas = Canvas(file, pagesize=(page.width, page.height), invariant=1, pageCompression=0)
    cast(Any, canvas)._doc.defaultStreamFilters = (PDFZCompress,)
    return canvas


class TablePages:
    """A PDF of pages with one table, of fixed height of rows."""

    def __init__(
        self,
        file: IO[bytes],
        page: Page,
        *,
        title: str,
        created: str,
        source: str,
        page_word: str,
        accent: str,
        digits: int,
    ) -> None:
        self._canvas = _canvas(file, page)
        _font()
        self._page = page
        self._encoder = _Encoder(self._canvas)
        self._texts = title, created, source, page_word
        self._accent = accent
        self._digits = digits  # for how many the number of all pages has room
        self._height = page.size * _LINE_HEIGHT
        self._top = page.height - MARGIN_TOP
        self.pages = 0

    def can_draw(self, signs: set[str]) -> bool:
        """Tell whether all these characters can be shown."""
        if not signs <= known():
            return False
        encoder = self._encoder
        return not any(sign in encoder.beyond or encoder[ord(sign)] == "" for sign in sorted(signs))

    def add(
        self,
        number: int,
        heads: Sequence[str],
        rights: Sequence[bool],
        rows: Sequence[Sequence[str]],
        totals: Sequence[str] | None,
    ) -> None:
        """Draw one page."""
        canvas, height, top = self._canvas, self._height, self._top
        left, right = MARGIN_X, self._page.width - MARGIN_X
        canvas.setFillColor(HexColor(_BAND))
        for place in range(1, len(rows), 2):
            canvas.rect(left, top - height * (place + 2), right - left, height, stroke=0, fill=1)
        canvas.setStrokeColor(HexColor(self._accent))
        canvas.setLineWidth(0.9)
        canvas.line(left, top - height, right, top - height)
        if totals:
            canvas.line(left, top - height * (len(rows) + 1), right, top - height * (len(rows) + 1))
        canvas.setStrokeColor(HexColor(_HAIR))
        canvas.setLineWidth(0.5)
        canvas.line(left, self._page.height - MARGIN_TOP * 0.7, right, self._page.height - MARGIN_TOP * 0.7)
        canvas.line(left, MARGIN_BOTTOM * 0.7, right, MARGIN_BOTTOM * 0.7)
        size = self._page.size
        self._text(_QUIET, size, [self._row(heads, rights, 0)], bold=True)
        self._text(_INK, size, [self._row(row, rights, place) for place, row in enumerate(rows, 1)])
        if totals:
            self._text(_INK, size, [self._row(totals, rights, len(rows) + 1)], bold=True)
        self._chrome(number)
        canvas.showPage()
        self.pages += 1

    def _chrome(self, number: int) -> None:
        title, created, source, page_word = self._texts
        top, bottom = self._page.height - MARGIN_TOP * 0.7 + 5.6, MARGIN_BOTTOM * 0.7 - 11.4
        left, right = MARGIN_X, self._page.width - MARGIN_X
        count = f"{page_word} {number} / "
        lines = [
            self._at(left, top, title),
            self._at(right - 8 * width_of(created), top, created),
            self._at(left, bottom, source),
        ]
        end = right - 8 * width_of("0") * self._digits
        lines.append(self._at(end - 8 * width_of(count), bottom, count))
        self._text(_QUIET, 8, lines)
        self._canvas.saveState()
        self._canvas.translate(end, bottom)
        self._canvas.doForm("pages")  # its content is known at the end
        self._canvas.restoreState()

    def _row(self, cells: Sequence[str], rights: Sequence[bool], place: int) -> str:
        size = self._page.size
        y = self._top - self._height * (place + 0.5) - size * 0.36
        x, pad, out = MARGIN_X, PADDING, []
        for text, right, width in zip(cells, rights, self._page.widths, strict=True):
            room = width / size - 2 * pad
            if right:
                wide = width_of(text)
                if wide > room:
                    out.append(self._narrow(x + pad * size, y, text, room / wide))
                else:
                    out.append(self._at(x + width - (pad + wide) * size, y, text))
            elif text and len(text) <= room * 0.9:  # few characters are wider than 1.1 em
                out.append(self._at(x + pad * size, y, text))
            elif text:
                out.append(self._fitted(x + pad * size, y, text, room))
            x += width
        return "\n".join(out)

    def _at(self, x: float, y: float, text: str) -> str:
        return f"1 0 0 1 {x:.2f} {y:.2f} Tm ({text.translate(self._encoder)}) Tj"

    def _fitted(self, x: float, y: float, text: str, room: float) -> str:
        """Return a text at the left that is cut if it is too long, and made narrow if it nearly fits."""
        wide = width_of(text)
        if wide <= room:
            return self._at(x, y, text)
        if wide <= room * _NEARLY:
            return self._narrow(x, y, text, room / wide)
        return self._at(x, y, _cut(text, room))

    def _narrow(self, x: float, y: float, text: str, part: float) -> str:
        return f"{part:.3f} 0 0 1 {x:.2f} {y:.2f} Tm ({text.translate(self._encoder)}) Tj"

    def _text(self, colour: str, size: float, lines: Sequence[str], *, bold: bool = False) -> None:
        name = _font().getSubsetInternalName(0, cast(Any, self._canvas)._doc)
        shade = HexColor(colour)
        ink = f"{shade.red:.3f} {shade.green:.3f} {shade.blue:.3f}"
        weight = f"2 Tr {size * 0.022:.3f} w {ink} RG" if bold else "0 Tr"
        code: list[Any] = cast(Any, self._canvas)._code
        code.append(f"q BT {name} {size:g} Tf {ink} rg {weight}\n" + "\n".join(lines) + "\nET Q")

    def close(self, total: int) -> None:
        """Write the file, with the number of all pages on each of them."""
        canvas = self._canvas
        canvas.beginForm("pages", 0, -4, 60, 12)
        canvas.setFont(_FONT, 8)
        self._text(_QUIET, 8, [self._at(0, 0, str(total))])
        canvas.endForm()
        canvas.save()


def _cut(text: str, room: float) -> str:
    room -= width_of("…")
    end = 0
    for end, sign in enumerate(text):  # noqa: B007
        room -= _widths()[sign]
        if room < 0:
            break
    return text[:end].rstrip() + "…"


def rows_on(page: Page) -> int:
    """Return how many rows a page holds, besides its head and the totals."""
    return int((page.height - MARGIN_TOP - MARGIN_BOTTOM) / (page.size * _LINE_HEIGHT)) - 2
