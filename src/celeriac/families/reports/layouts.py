"""Checks the looks that a caller asks for: first alone, and then against the columns of the data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from celeriac.core.errors import ConfigurationError
from celeriac.families.reports.errors import ReportInvalid
from celeriac.families.reports.rendering.errors import RenderingFailed
from celeriac.families.reports.rendering.model import NUMBERS, Layout
from celeriac.families.reports.settings import ReportsSettings

if TYPE_CHECKING:
    from celeriac.families.reports.request import ColumnChoice, ReportRequest


def with_settings(layout: Layout, own: ReportsSettings) -> Layout:
    """Return the layout with the settings' logo, colour and font, where it has none of its own."""
    theme = layout.theme.model_fields_set
    changes: dict[str, object] = {}
    if own.reports_logo is not None and "logo" not in theme:
        try:
            changes["logo"] = own.reports_logo.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"CELERIAC_REPORTS_LOGO={own.reports_logo}: {error.strerror}") from None
    for name, value in (("colour", own.reports_colour), ("font", own.reports_font)):
        if value is not None and name not in theme:
            changes[name] = value
    if own.reports_font_folder is not None:
        changes["font_folder"] = own.reports_font_folder
    return layout.model_copy(update={"theme": layout.theme.model_copy(update=changes)}) if changes else layout


def check_alone(request: ReportRequest, own: ReportsSettings) -> None:
    """Check what can be known without the data. It imports what it needs only when the caller asks for it.

    Raises:
        ReportInvalid: names the member.
    """
    layout = request.layout
    given, theme = layout.model_fields_set, layout.theme.model_fields_set
    if "locale" in given:
        _try("layout.locale", lambda: _formats(layout.locale, "UTC"))
    if "timezone" in given:
        _try("layout.timezone", lambda: _formats("en", layout.timezone))
    if "logo" in theme:
        _try("layout.theme.logo", lambda: _logo(layout.theme.logo))
    if "font" in theme:
        _try("layout.theme.font", lambda: _font(with_settings(layout, own)))
    if layout.columns is not None and not layout.columns:
        raise ReportInvalid("layout.columns", "is empty: name at least one column, or leave it out")
    for name, choice in request.columns.items():
        _check_currency(name, choice)


def _check_currency(name: str, choice: ColumnChoice) -> None:
    if choice.currency is None:
        return
    from babel.numbers import is_currency

    if not is_currency(choice.currency):
        raise ReportInvalid(f"columns.{name}.currency", f"{choice.currency} is no currency of ISO 4217")
    if choice.kind not in (None, "money"):
        raise ReportInvalid(f"columns.{name}.currency", f"a column of the kind {choice.kind} has no currency")


def check_named(request: ReportRequest, columns: Collection[str]) -> None:
    """Check that the data has each column that the request names.

    Raises:
        ReportInvalid: names the member.
    """
    layout = request.layout
    for name in request.columns:
        _known(f"columns.{name}", name, columns)
    lists: Mapping[str, Sequence[str] | None] = {
        "columns": layout.columns,
        "figures": layout.figures,
        "better_down": layout.better_down,
        "period": [layout.period] if layout.period else None,
    }
    for member, names in lists.items():
        for name in names or ():
            if name:
                _known(f"layout.{member}", name, columns)


def check_kinds(layout: Layout, kinds: Mapping[str, str]) -> None:
    """Check that key figures are numbers, and that the period is a date. `kinds` has the columns with values.

    Raises:
        ReportInvalid: names the member.
    """
    for name in layout.figures or ():
        if kinds.get(name, "integer") not in NUMBERS:
            raise ReportInvalid("layout.figures", f"column {name!r} is {kinds[name]}; a key figure is a number")
    if layout.period and kinds.get(layout.period, "date") not in ("date", "datetime"):
        raise ReportInvalid(
            "layout.period", f"column {layout.period!r} is {kinds[layout.period]}; a period is found in dates"
        )


def _known(place: str, name: str, columns: Collection[str]) -> None:
    if name not in columns:
        known = ", ".join(list(columns)[:20])
        raise ReportInvalid(place, f"the data has no column {name[:100]!r}; it has {known}")


def _try(place: str, check: Callable[[], object]) -> None:
    try:
        check()
    except RenderingFailed as error:
        raise ReportInvalid(place, str(error)) from None


def _formats(locale: str, timezone: str) -> None:
    from celeriac.families.reports.rendering.formats import Formats

    Formats(locale, timezone)


def _logo(logo: bytes | None) -> None:
    from celeriac.families.reports.rendering.logo import logo_svg

    logo_svg(logo)


def _font(layout: Layout) -> None:
    from celeriac.families.reports.rendering.coverage import check_font

    check_font(layout.theme)
