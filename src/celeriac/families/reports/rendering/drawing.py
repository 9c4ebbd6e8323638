"""Draws Vega-Lite specs as SVG, without any network. Texts are in the fonts of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import escape

import vl_convert

from celeriac.families.reports.rendering import fonts
from celeriac.families.reports.rendering.errors import ChartFailed
from celeriac.families.reports.rendering.model import Layout

LABEL_SIZE = 10
_HEIGHT = 170  # of a chart of the user's, if it says nothing
#: Vega measures texts in the font that it brings: in a large variable font it takes four times as long.
_MEASURED = "sans-serif"
_QUIET, _LINE = "#5f6b7a", "#e3e7ec"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart, with the text that describes it to those who cannot see it.

    `legend`: names and their colours. `legend_title`: what the names are of.
    """

    title: str
    svg: str
    description: str
    legend: Sequence[tuple[str, str]] = ()
    legend_title: str = ""


#: The colour of rows that have no category.
NO_CATEGORY = "#b4bcc6"


def shades(colour: str, count: int) -> list[str]:
    """Return that many shades of the colour, from full to light. Few of them need not become pale."""
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    palest = 0.75 if count > 3 else 0.6
    strengths = [1 - palest * place / max(count - 1, 1) for place in range(count)]
    return ["#" + "".join(f"{round(255 - (255 - part) * strength):02x}" for part in parts) for strength in strengths]


def custom(spec: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], layout: Layout, width: int) -> Chart:
    """Draw a spec of the user's with the rows of the report as its data."""
    full = {"width": width, "height": _HEIGHT, "autosize": {"type": "fit", "contains": "padding"}} | dict(spec)
    full["data"] = {"values": list(rows)}
    title = cast(Any, full.pop("title", ""))
    if isinstance(title, Mapping):
        title = cast(Any, title).get("text", "")
    title = title if isinstance(title, str) else ""
    described = full.get("description") or title or "Chart"
    return Chart(title, draw(full, layout), str(described))


def draw(spec: Mapping[str, Any], layout: Layout) -> str:
    """Return the SVG of a Vega-Lite spec. Texts are in packaged fonts, and nothing is loaded.

    Raises:
        ChartFailed: the spec cannot be drawn.
    """
    _register_fonts(str(layout.theme.font_folder or ""))
    try:
        svg = vl_convert.vegalite_to_svg(dict(spec), config=_config(layout), allowed_base_urls=[], show_warnings=False)
    except Exception as error:  # vl-convert raises ValueError, and others for faults of a spec
        raise ChartFailed(
            f"the chart cannot be drawn: {_reason(error)}: correct the Vega-Lite spec in `chart`"
        ) from None
    families = escape(", ".join((*fonts.chain(layout.theme.font), "sans-serif")), {'"': "&quot;"})
    return svg.replace(f'font-family="{_MEASURED}"', f'font-family="{families}"')


def _reason(error: Exception) -> str:
    """Return Vega's own words, without what it quotes: the spec, with all rows, and places in its code."""
    words = " ".join(str(error).split()).partition("https://")[0].removeprefix("Vega-Lite to SVG conversion failed: ")
    before, quoted, rest = words.partition("{")
    if quoted:
        words = before.rstrip() + rest.rpartition("}")[2]
    return words.rpartition(" at ")[0][:300] or words[:300]


@cache
def _register_fonts(own: str) -> None:
    for folder in fonts.folders(Path(own) if own else None):
        vl_convert.register_font_directory(folder)


def _config(layout: Layout) -> dict[str, Any]:
    text = {"labelColor": _QUIET, "labelFontSize": LABEL_SIZE, "titleColor": _QUIET, "titleFontSize": 10}
    return {
        "background": None,
        "font": _MEASURED,
        "view": {"stroke": None},
        "axis": text | {"gridColor": _LINE, "domainColor": "#c9d0d8", "ticks": False, "grid": False},
        "legend": text,
        "range": {"category": shades(layout.theme.colour, 6)},
        "mark": {"color": layout.theme.colour},
    }
