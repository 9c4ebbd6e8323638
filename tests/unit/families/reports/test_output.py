"""What a report is called, and which columns it adds up, when nobody says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.families.reports.layouts import with_settings
from celeriac.families.reports.output import Output
from celeriac.families.reports.rendering import Layout
from celeriac.families.reports.request import ReportRequest
from celeriac.families.reports.settings import ReportsSettings
from celeriac.families.reports.spool import Spool, SpoolLimits, SpoolWriter


def spooled(folder: Path, columns: Sequence[str], *rows: Sequence[Any], texts: str = "nothing") -> Spool:
    with SpoolWriter(folder / "rows", columns, SpoolLimits(rows=100, cell=100), texts=texts) as writer:
        for row in rows:
            writer.write([row])
        return writer.finish()


def written(spool: Spool, folder: Path, *, about: str = "", **changes: Any) -> str:
    request = ReportRequest.model_validate({"source": {"name": "late_orders"}, "layout": {"chart": "off"}} | changes)
    output = Output(request, ReportsSettings(), spool, "late_orders", None, about=about)
    output.write("html", folder / "report.html", lambda done, total: None)
    return (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("about", "title"),
    [
        ("Orders that\n    came too late.", "Orders that came too late"),
        ("", "Late orders"),
        ("far too long " * 20, "Late orders"),
    ],
)
def test_a_report_is_called_what_its_source_is_about(about: str, title: str, tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["n"], [1])
    assert f"<h1>{title}</h1>" in written(spool, tmp_path, about=about)
    assert "<h1>Mine</h1>" in written(spool, tmp_path, about=about, layout={"title": "Mine"})


@pytest.mark.parametrize(
    ("values", "is_flag"),
    [([1, 0, None, 1], True), ([1, 1], False), ([0, 1, 2], False), ([0, 1, 0.5], False), ([True, False], False)],
)
def test_a_column_of_zeros_and_ones_is_found(values: list[Any], is_flag: bool, tmp_path: Path) -> None:
    assert spooled(tmp_path, ["n"], *[[value] for value in values]).flags == (is_flag,)


def test_zeros_and_ones_of_a_file_are_found(tmp_path: Path) -> None:
    assert spooled(tmp_path, ["n"], ["1"], ["0"], ["1"], texts="all").flags == (True,)


def test_zeros_and_ones_are_not_added_up_unless_that_is_asked_for(tmp_path: Path) -> None:
    spool = spooled(tmp_path, ["bezahlt", "betrag"], [1, 20.5], [0, 30.5], [1, 10])
    page = written(spool, tmp_path)
    assert "<small>Betrag</small><b>61.00</b>" in page
    assert "<small>Bezahlt</small>" not in page
    assert "<td class=n>Total</td><td class=n>61.00</td>" in page
    asked = written(spool, tmp_path, columns={"bezahlt": {"total": True}})
    assert "<small>Bezahlt</small><b>2</b>" in asked


def test_a_logo_that_has_gone_is_named_with_its_setting(tmp_path: Path) -> None:
    (logo := tmp_path / "logo.svg").write_text("<svg/>")
    own = ReportsSettings(reports_logo=logo)
    logo.unlink()
    with pytest.raises(ConfigurationError, match=r"^CELERIAC_REPORTS_LOGO=.*/logo\.svg: No such file or directory$"):
        with_settings(Layout(), own)
