"""The data of a report as its template reads it: texts that are ready to be shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from celeriac.families.reports.rendering import fonts
from celeriac.families.reports.rendering.coverage import unshown
from celeriac.families.reports.rendering.drawing import Chart
from celeriac.families.reports.rendering.errors import LayoutInvalid
from celeriac.families.reports.rendering.figures import figures_of
from celeriac.families.reports.rendering.formats import Formats
from celeriac.families.reports.rendering.geometry import Page, is_right
from celeriac.families.reports.rendering.logo import logo_svg
from celeriac.families.reports.rendering.model import Column, Layout
from celeriac.families.reports.rendering.summary import Summary, is_totalled
from celeriac.families.reports.rendering.text import breakable, one_line

_REMEDY = "put one that does into the folder that CELERIAC_REPORTS_FONT_FOLDER names"
_log = logging.getLogger(__name__)
Cells = Sequence[Callable[[object], str]]


def title_of(layout: Layout, formats: Formats) -> str:
    """Return the title of the report."""
    return one_line(layout.title, 300) or formats.words.report


def created_of(layout: Layout, formats: Formats) -> str:
    """Return when the report was made, or nothing."""
    return formats.words.created.format(formats.created(layout.created_at)) if layout.created_at else ""


def source_of(layout: Layout, formats: Formats) -> str:
    """Return the line that says where the data is from, or nothing."""
    if not layout.source:
        return ""
    colon = " : " if formats.locale.language == "fr" else ": "
    return f"{formats.words.source}{colon}{one_line(layout.source, 160)}"


def totals_of(summary: Summary, cells: Cells, table: Sequence[int]) -> list[str] | None:
    """Return the row of totals, or None if there is none."""
    columns = summary.columns
    wanted = [index for index in table if is_totalled(columns[index]) and summary.sums[index].count]
    if not summary.layout.totals or not wanted or summary.count < 2:
        return None
    row = [cells[index](summary.sums[index].value) if index in wanted else "" for index in table]
    if table[0] not in wanted:
        row[0] = summary.formats.words.total
    return row


def heads(columns: Sequence[Column], page: Page, formats: Formats) -> list[dict[str, Any]]:
    """Return the head of the table."""
    return [
        {"title": breakable(formats.title(column)), "right": is_right(column), "width": width}
        for column, width in zip(columns, page.widths, strict=True)
    ]


def data_of(
    summary: Summary, page: Page, charts: Sequence[Chart], table: Mapping[str, Any] | None, **changes: Any
) -> dict[str, Any]:
    """Return the data of the template."""
    layout, formats = summary.layout, summary.formats
    local = formats.local(layout.created_at) if layout.created_at else None
    title = title_of(layout, formats)
    return {
        "title": title,
        "short-title": one_line(title, 90),
        "subtitle": one_line(layout.subtitle, 300),
        "author": one_line(layout.author, 200),
        "created": created_of(layout, formats),
        "date": {"year": local.year, "month": local.month, "day": local.day} if local else None,
        "source": source_of(layout, formats),
        "lang": formats.locale.language,
        "region": formats.locale.territory,
        "direction": "rtl" if formats.right_to_left else "ltr",
        "digits": formats.digits("0123456789") if formats.digits("0") != "0" else "",
        "paper": layout.paper,
        "landscape": page.landscape,
        "theme": {
            "colour": layout.theme.colour,
            "fonts": list(fonts.chain(layout.theme.font)),
            "logo": logo_svg(layout.theme.logo),
        },
        "labels": {"page": formats.words.page, "empty": formats.words.empty, "total": formats.words.total},
        "figures": figures_of(summary),
        "charts": [asdict(chart) for chart in charts],
        "table": table,
        "head": True,
        "start": None,
        "pages": None,
        "notice": "",
    } | changes


@dataclass(frozen=True, slots=True)
class Notice:
    """What no font can show: as the report says it, in its language, and as those are told who asked for it."""

    shown: str = ""
    warnings: Sequence[str] = ()


def notice_of(signs: Iterable[str], layout: Layout, formats: Formats) -> Notice:
    """Return the notice that names what no font can show; an empty one if they can show all.

    Raises:
        LayoutInvalid: the report is archival, so that all of it has to be shown.
    """
    lacking = ", ".join(unshown(signs, layout.theme))
    if not lacking:
        return Notice()
    if layout.archival:
        raise LayoutInvalid(
            f"an archival PDF has to show all characters, and no font has {lacking}: {_REMEDY}, or leave out `archival`"
        )
    told = f"the PDF lacks characters, because no font has {lacking}: {_REMEDY}"
    _log.warning("%s", told)
    return Notice(formats.words.unshown.format(lacking), (told,))
