"""The chart of a report, chosen from its data: over time, or by category."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from babel import numbers

from celeriac.families.reports.rendering.drawing import LABEL_SIZE, NO_CATEGORY, Chart, draw, shades
from celeriac.families.reports.rendering.figures import column_title
from celeriac.families.reports.rendering.formats import NOTHING
from celeriac.families.reports.rendering.geometry import ems
from celeriac.families.reports.rendering.periods import length_for, name_of, next_start, start_of
from celeriac.families.reports.rendering.summary import Category, Summary

_STACKED_AT_MOST = 6
_BARS_AT_MOST = 10
_PERIODS_AT_LEAST = 3
_BAR_AT_MOST = 64  # pixels
_NAMES_AT_MOST = 190  # pixels
_ROUND_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 18_000, 36_000, 86_400)


@dataclass(frozen=True, slots=True)
class _Point:
    place: str
    value: float
    category: str = ""


def automatic(summary: Summary, width: int, height: int) -> Chart | None:
    """Return a chart of the first key figure: over time, else by category; or None if neither says something."""
    found = _timeline(summary)
    if found is None or len(found[1]) < _PERIODS_AT_LEAST:
        chart = ranking(summary, width)
        if chart or found is None:
            return chart
    points, places, by = found
    kinds = list(dict.fromkeys(point.category for point in points))
    named = shades(summary.layout.theme.colour, sum(kind != NOTHING for kind in kinds))
    colours = [NO_CATEGORY if kind == NOTHING else named.pop(0) for kind in kinds]
    spec = _spec(points, places, kinds, colours, summary, width) | {"height": height}
    legend = list(zip(kinds, colours, strict=True)) if len(kinds) > 1 else ()
    category = stacked(summary) if legend else None
    of = column_title(summary, category.index) if category else ""
    return _chart(spec, points, by, summary, legend, of)


def ranking(summary: Summary, width: int, but: Category | None = None) -> Chart | None:
    """Return a chart of the first key figure by category, the largest first; or None if no column has categories."""
    found = _ranking(summary, but)
    if found is None:
        return None
    points, by = found
    return _chart(_bars(points, summary, width), points, by, summary)


def _chart(
    spec: Mapping[str, Any],
    points: Sequence[_Point],
    by: str,
    summary: Summary,
    legend: Sequence[tuple[str, str]] = (),
    of: str = "",
) -> Chart:
    measure = summary.formats.words.rows if summary.measure is None else column_title(summary, summary.measure)
    title = summary.formats.words.by.format(measure, by)
    told = "; ".join(" ".join(f"{point.place} {point.category} {point.value:.6g}".split()) for point in points[:24])
    return Chart(title, draw(spec, summary.layout), f"{title}: {told}", legend, of)


def has_timeline(summary: Summary) -> bool:
    """Tell whether the automatic chart is one over time."""
    found = _timeline(summary)
    return found is not None and (len(found[1]) >= _PERIODS_AT_LEAST or _ranking(summary, None) is None)


def _timeline(summary: Summary) -> tuple[list[_Point], list[str], str] | None:
    days = summary.rows_by_day
    if summary.period is None or len(days) < 2:
        return None
    length = length_for(days)
    first, last = start_of(min(days), length), start_of(max(days), length)
    starts = [first]
    while starts[-1] < last and len(starts) <= 400:
        starts.append(next_start(starts[-1], length))
    if not 2 <= len(starts) <= 400:
        return None
    years = first.year != last.year
    names = {start: name_of(start, length, summary.formats, year=years) for start in starts}
    category = stacked(summary) if len(starts) <= 40 else None
    sums: dict[tuple[date, str], float] = defaultdict(float)
    if category:
        for (day, name), value in category.by_day.items():
            if day is not None:
                sums[start_of(day, length), name] += value
    else:
        place = summary.figures.index(summary.measure) if summary.measure is not None else None
        for day, count in days.items():
            value = (summary.by_day[day][place] or 0.0) if place is not None else count
            sums[start_of(day, length), ""] += value
    kinds = sorted(category.sums, key=lambda name: (not name, -category.sums[name])) if category else [""]
    shown = {name: summary.clean_name(name) if category else "" for name in kinds}
    points = [_Point(names[start], sums[start, name], shown[name]) for start in starts for name in kinds]
    return points, list(names.values()), summary.formats.words.periods[length]


def stacked(summary: Summary) -> Category | None:
    """Return the column whose few values divide the bars of a chart over time, or None."""
    for category in summary.categories:
        if 2 <= len(category.sums) <= _STACKED_AT_MOST and min(category.by_day.values(), default=0) >= 0:
            return category
    return None


def _ranking(summary: Summary, but: Category | None) -> tuple[list[_Point], str] | None:
    fit = [one for one in summary.categories if len(one.sums) > 1 and one is not but]
    if summary.measure is None:  # where each row has a name of its own, a count says nothing
        fit = [one for one in fit if len(one.sums) * 2 <= summary.count]
    if not fit or summary.count < 2:
        return None
    category = next((one for one in fit if len(one.sums) <= 1.5 * _BARS_AT_MOST), fit[0])
    ranked = sorted(category.sums.items(), key=lambda item: -item[1])
    points = [_Point(summary.clean_name(name), value) for name, value in ranked[:_BARS_AT_MOST]]
    rest = sum(value for _, value in ranked[_BARS_AT_MOST:])
    if rest:
        points.append(_Point(summary.formats.words.other, rest))
    return points, column_title(summary, category.index)


def _spec(
    points: Sequence[_Point],
    places: Sequence[str],
    kinds: Sequence[str],
    colours: Sequence[str],
    summary: Summary,
    width: int,
) -> dict[str, Any]:
    stacks: dict[str, float] = defaultdict(float)
    for point in points:
        stacks[point.place] += point.value
    rtl = summary.formats.right_to_left
    many = len(places) > 40
    gap = 0 if many else max(0.32, 1 - _BAR_AT_MOST * len(places) / width)
    value_axis = _ticks([*stacks.values()], summary) | {"orient": "right" if rtl else "left"}
    mark: dict[str, Any] = (
        {"type": "area", "line": {"strokeWidth": 1.5}, "fillOpacity": 0.12} if many else {"type": "bar"}
    )
    mark["color"] = summary.layout.theme.colour
    encoding: dict[str, Any] = {
        "x": {
            "field": "x",
            "type": "ordinal",
            "sort": None,
            "scale": {"reverse": rtl, "paddingInner": gap, "paddingOuter": 0 if many else max(0.2, gap / 2)},
            "axis": {
                "title": None,
                "labelAngle": 0,
                "labelOverlap": False,
                "labelLimit": 0,
                "labelPadding": 6,
                "values": _room_for(places, width),
            },
        },
        "y": {"field": "y", "type": "quantitative", "axis": value_axis, "scale": {"nice": False}},
    }
    encoding["y"]["scale"]["domain"] = [value_axis["values"][0], value_axis["values"][-1]]
    if len(kinds) > 1:
        mark |= {"stroke": "#ffffff", "strokeWidth": 0.7}
        encoding["color"] = {
            "field": "c",
            "type": "nominal",
            "sort": kinds,
            "scale": {"domain": list(kinds), "range": list(colours)},
            "legend": None,  # the page has one, whose texts run in the direction of the language
        }
        encoding["order"] = {"field": "o", "type": "quantitative"}
    values = [
        {"x": point.place, "y": point.value, "c": point.category, "o": kinds.index(point.category)} for point in points
    ]
    return _framed({"data": {"values": values}, "mark": mark, "encoding": encoding}, width)


def _bars(points: Sequence[_Point], summary: Summary, width: int) -> dict[str, Any]:
    rtl = summary.formats.right_to_left
    axis = _ticks([point.value for point in points], summary)
    encoding = {
        "y": {
            "field": "x",
            "type": "ordinal",
            "sort": None,
            "scale": {"paddingInner": 0.35, "paddingOuter": 0.1},
            "axis": {
                "title": None,
                "orient": "right" if rtl else "left",
                "labelLimit": _NAMES_AT_MOST,
                "labelPadding": 8,
            },
        },
        "x": {
            "field": "y",
            "type": "quantitative",
            "axis": axis,
            "scale": {"nice": False, "reverse": rtl, "domain": [axis["values"][0], axis["values"][-1]]},
        },
    }
    mark = {"type": "bar", "color": summary.layout.theme.colour, "cornerRadiusEnd": 2}
    names = min(max(ems(point.place) for point in points) * LABEL_SIZE, _NAMES_AT_MOST)
    values = [{"x": point.place, "y": point.value} for point in points]
    room = width - round(names) - 34  # so that the picture is printed in its size, and its texts in theirs
    return _framed({"data": {"values": values}, "mark": mark, "encoding": encoding}, room) | {
        "padding": {"left": 10, "right": 16, "top": 4, "bottom": 4},  # names are wider than Vega measures them
        "height": 24 + 30 * len(points) if len(points) < 5 else 22 * len(points),
    }


def _framed(spec: dict[str, Any], width: int) -> dict[str, Any]:
    return spec | {"width": width, "autosize": "pad"}


def _room_for(places: Sequence[str], width: int) -> list[str]:
    """Return as many names on the axis as stand beside each other. Vega would measure each of them, which is slow."""
    widest = max(map(ems, places)) * LABEL_SIZE + 10
    return list(places[:: max(1, math.ceil(widest * len(places) / width))])


def _ticks(values: Sequence[float], summary: Summary) -> dict[str, Any]:
    """Return an axis with round values, written as the locale does."""
    low, high = min(0.0, *values), max(0.0, *values)
    step = _step((high - low) / 4 or 1.0, is_time=_kind(summary) == "duration")
    ticks = [step * place for place in range(math.floor(low / step), math.ceil(high / step) + 1)]
    if len(ticks) < 2:
        ticks = [0.0, step]
    labels = [_label(tick, step, summary) for tick in ticks]
    label = f"{json.dumps(labels)}[round((datum.value - {ticks[0]!r}) / {step!r})]"
    return {
        "title": None,
        "values": ticks,
        "labelExpr": label,
        "grid": True,
        "domain": False,
        "labelPadding": 6,
        "labelOverlap": False,
    }


def _step(least: float, *, is_time: bool) -> float:
    """Return a round number that is not smaller. Of seconds, it is a round number of minutes, hours or days."""
    if is_time and 1 < least <= _ROUND_TIMES[-1]:
        return next(step for step in _ROUND_TIMES if step >= least * 0.999)
    power = 10.0 ** math.floor(math.log10(least))
    if is_time and least > 1:
        power = 864.0 * 10 ** math.floor(math.log10(least / 864))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * 0.999)


def _kind(summary: Summary) -> str:
    return "" if summary.measure is None else summary.columns[summary.measure].kind


def _label(value: float, step: float, summary: Summary) -> str:
    """Return the text at a tick, with the sign of the currency."""
    text = _compact(value, step, summary)
    column = None if summary.measure is None else summary.columns[summary.measure]
    if column is None or column.kind != "money" or not column.currency or not value:
        return text
    before, after = summary.formats.around_money(column.currency, False)
    return f"{before}{text}{after}"


def _compact(value: float, step: float, summary: Summary) -> str:
    formats = summary.formats
    kind = _kind(summary)
    if kind == "percent":
        return formats.percent(value, 0 if step >= 0.01 else 1)
    if kind == "duration" and step >= 1:
        return formats.duration(value)
    if abs(value) < 1_000 or abs(value) >= 1e15:
        places = max(0, -math.floor(math.log10(step))) + (1 if str(step).rstrip("0").endswith("25") else 0)
        return formats.number(value, min(places, 6)) if abs(value) < 1_000 else f"{value:.1e}"
    shown = numbers.format_compact_decimal(value, locale=formats.locale, fraction_digits=1, numbering_system="default")
    return formats.digits(shown) if any(map(str.isalpha, shown)) else formats.number(value, 0)
