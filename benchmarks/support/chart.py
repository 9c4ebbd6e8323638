"""Draws results as bars of medians with their spread: an SVG, without a library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from benchmarks.harness import Bench, Row

_WIDTH, _LABELS, _FIGURES = 860, 240, 90  # pixels: the picture, the names on its left, the figures on its right
_ROW, _BAR, _TITLE, _GAP = 24, 14, 34, 18
_OURS, _FLOOR, _OTHERS = "#2f6f4f", "#b8b8b8", "#7a93b5"
_STYLE = "text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-weight: 600 } .figure { fill: #555 }"


def chart(benches: Sequence[Bench]) -> str:
    """Draw one panel of bars for each bench, best first."""
    parts: list[str] = []
    y = _GAP
    for bench in benches:
        rows = sorted((row for row in bench.rows if row.median is not None), key=_median, reverse=_higher(bench))
        parts.extend(_panel(bench, rows, y))
        y += _TITLE + len(rows) * _ROW + _GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}">'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", background, *parts, "</svg>", ""])


def _panel(bench: Bench, rows: Sequence[Row], top: int) -> Iterable[str]:
    yield _text(12, top + 14, f"{bench.question} ({bench.unit}; {bench.better} is better)", "title")
    most = max((row.max or 0.0 for row in rows), default=1.0) or 1.0
    scale = (_WIDTH - _LABELS - _FIGURES) / most
    for number, row in enumerate(rows):
        y = top + _TITLE + number * _ROW
        width = max(1.0, _median(row) * scale)
        yield _text(_LABELS - 8, y + _BAR - 2, row.system, "name", anchor="end")
        yield f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{_colour(row.name)}"/>'
        yield _whisker(_LABELS + (row.min or 0) * scale, _LABELS + (row.max or 0) * scale, y + _BAR / 2)
        yield _text(_LABELS + (row.max or 0) * scale + 8, y + _BAR - 2, _figure(_median(row)), "figure")


def _whisker(left: float, right: float, y: float) -> str:
    return f'<line x1="{left:.1f}" y1="{y}" x2="{right:.1f}" y2="{y}" stroke="#222" stroke-width="1.5"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _colour(system: str) -> str:
    return _OURS if system.startswith("celeriac") else _FLOOR if system.startswith("floor") else _OTHERS


def _median(row: Row) -> float:
    return row.median or 0.0


def _higher(bench: Bench) -> bool:
    return bench.better == "higher"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
