"""Reports that are made in this process: what settings do to a file, and which faults only the data tells."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.families.reports import ReportsFamily, ReportsSettings
from celeriac.testing import in_process

ROWS = {"rows": [{"kunde": "Müller", "betrag": 3, "tag": "2026-01-31"}, {"kunde": "Groß", "betrag": 4, "tag": None}]}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="10" fill="#0a7"/></svg>'
LOGO = b64encode(SVG).decode()


async def made(folder: Path, request: dict[str, Any], **own: Any) -> Any:
    """The job of a report that ran in this process, of a request that went through JSON as any job's does."""
    nowhere = SecretStr("redis://127.0.0.1:1/0")  # nothing of these tests needs it
    app = Celeriac("shop", settings=Settings(broker_url=nowhere, data_dir=folder, storage_reserve_bytes=0))
    reports = app.include_family(ReportsFamily, ReportsSettings(reports_scratch=folder / "scratch", **own))
    with in_process(app) as jobs:
        await app.client.submit(reports.call({"formats": ["html"], **request}))
    return jobs.all[-1]


async def test_the_settings_looks_are_those_of_reports_that_say_nothing_of_theirs(tmp_path: Path) -> None:
    (logo := tmp_path / "logo.svg").write_bytes(SVG)
    own = {"reports_colour": "#0b7a5c", "reports_logo": logo}
    page = (await made(tmp_path, {"source": ROWS}, **own)).artifacts["report.html"].decode()
    assert "#0b7a5c" in page and LOGO in page
    chosen = {"source": ROWS, "layout": {"theme": {"colour": "#1d4ed8", "logo": None}}}
    page = (await made(tmp_path, chosen, **own)).artifacts["report.html"].decode()
    assert "#1d4ed8" in page and "#0b7a5c" not in page and LOGO not in page


async def test_the_settings_font_is_that_of_reports_that_name_none(tmp_path: Path) -> None:
    job = await made(tmp_path, {"source": ROWS, "formats": ["pdf"]}, reports_font="Nowhere Sans")
    assert "there is no font 'Nowhere Sans'" in str(job.error)


@pytest.mark.parametrize(
    ("layout", "fault"),
    [
        ({"figures": ["kunde"]}, "layout.figures: column 'kunde' is text; a key figure is a number"),
        ({"period": "kunde"}, "layout.period: column 'kunde' is text; a period is found in dates"),
    ],
)
async def test_what_only_the_data_tells_fails_the_report(tmp_path: Path, layout: dict[str, Any], fault: str) -> None:
    assert fault in str((await made(tmp_path, {"source": ROWS, "layout": layout})).error)


async def test_a_column_without_a_value_may_be_of_any_kind(tmp_path: Path) -> None:
    empty = {"rows": [{"kunde": "a", "betrag": None, "tag": None}]}
    layout = {"figures": ["betrag"], "period": "tag"}
    job = await made(tmp_path, {"source": empty, "layout": layout})
    assert job.error is None


async def test_a_chart_that_cannot_be_drawn_tells_nothing_of_the_data(tmp_path: Path) -> None:
    job = await made(tmp_path, {"source": ROWS, "formats": ["pdf"], "layout": {"chart": {"height": 90}}})
    assert "the chart cannot be drawn: Error: Invalid specification. Make sure" in str(job.error)
    assert "Müller" not in str(job.error)
