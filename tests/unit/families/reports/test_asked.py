"""What is wrong with a request, as far as it can be known before the data is read: the API answers 422 at once."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.asgi import include
from celeriac.families.reports import ReportsFamily, ReportsSettings
from celeriac.testing import in_process

ROWS = {"rows": [{"kunde": "Müller", "betrag": 3, "tag": "2026-01-31"}, {"kunde": "Groß", "betrag": 4, "tag": None}]}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="10" fill="#0a7"/></svg>'
LOGO = b64encode(SVG).decode()


def shop(folder: Path, **own: Any) -> tuple[Celeriac, ReportsFamily]:
    nowhere = SecretStr("redis://127.0.0.1:1/0")  # nothing of these tests needs it
    app = Celeriac("shop", settings=Settings(broker_url=nowhere, data_dir=folder, storage_reserve_bytes=0))
    settings = ReportsSettings(reports_scratch=folder / "scratch", **own)
    return app, app.include_family(ReportsFamily, settings)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An API that refuses all that it is asked here, and so is the same for each test."""
    folder = tmp_path_factory.mktemp("asked")
    app, _ = shop(folder, reports_connections=f"shop=sqlite:///{folder}/shop.db", reports_free_sql=True)
    served = FastAPI()
    include(served, app)
    with TestClient(served, "http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        yield client


@pytest.mark.parametrize(
    ("layout", "place", "fault"),
    [
        ({"locale": "xx"}, "layout.locale", "the locale 'xx' is not known"),
        ({"timezone": "Berlin"}, "layout.timezone", "the time zone 'Berlin' is not known"),
        ({"theme": {"logo": b64encode(b"no picture").decode()}}, "layout.theme.logo", "neither SVG nor PNG"),
        ({"theme": {"font": "Comic Sans"}}, "layout.theme.font", "there is no font 'Comic Sans'"),
        ({"columns": []}, "layout.columns", "name at least one column"),
        ({"columns": ["kunden"]}, "layout.columns", "the data has no column 'kunden'; it has kunde, betrag, tag"),
        ({"figures": ["umsatz"]}, "layout.figures", "the data has no column 'umsatz'"),
        ({"period": "day"}, "layout.period", "the data has no column 'day'"),
        ({"better_down": ["x"]}, "layout.better_down", "the data has no column 'x'"),
    ],
)
def test_a_fault_of_the_layout_is_refused_by_its_member(
    api: TestClient, layout: dict[str, Any], place: str, fault: str
) -> None:
    answer = api.post("/reports", json={"source": ROWS, "layout": layout})
    assert answer.status_code == 422, answer.text
    assert f"{place}: " in answer.json()["detail"] and fault in answer.json()["detail"]


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ({"betrag": {"currency": "XXY"}}, "columns.betrag.currency: XXY is no currency of ISO 4217"),
        ({"betrag": {"currency": "EUR", "kind": "percent"}}, "columns.betrag.currency: a column of the kind percent"),
        ({"umsatz": {"title": "Umsatz"}}, "columns.umsatz: the data has no column 'umsatz'"),
    ],
)
def test_a_fault_of_a_column_is_refused_by_its_member(api: TestClient, column: dict[str, Any], fault: str) -> None:
    answer = api.post("/reports", json={"source": ROWS, "columns": column})
    assert (answer.status_code, fault in answer.text) == (422, True), answer.text


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({}, "source: give one of: name; sql; upload; rows"),
        (
            {"sql": "DELETE FROM orders", "connection": "shop"},
            "source.sql: a query can only SELECT; this one begins with",
        ),
        ({"sql": "-- x\n PRAGMA a", "connection": "shop"}, "source.sql: a query can only SELECT; this one"),
        ({"rows": 3}, "give an array of rows"),
        ({"rows": [1]}, "row 1 is a number; each row is an object, or each an array"),
        ({"rows": []}, "without a row, name the columns in `columns`"),
        ({"rows": [{"a": 1}, [1]]}, "row 2 is an array, and the first is not"),
        ({"rows": [{"a": [1]}]}, "row 1 has an array as a cell"),
        ({"rows": [[1, 2], [3]], "columns": ["a", "b"]}, "row 2 has 1 cells; `columns` has 2 names"),
    ],
)
def test_a_wrong_source_is_told_in_one_line(api: TestClient, source: dict[str, Any], fault: str) -> None:
    answer = api.post("/reports", json={"source": source})
    assert answer.status_code == 422, answer.text
    assert fault in answer.json()["detail"]
    assert len(answer.json()["errors"]) == 1


@pytest.mark.parametrize(
    ("password", "fault"),
    [({"sealed": "AAAA"}, "password.sealed: callers give"), ("a\0", "a password may have no NUL character")],
)
def test_a_password_that_is_none_of_the_callers_is_refused(api: TestClient, password: Any, fault: str) -> None:
    answer = api.post("/reports", json={"source": ROWS, "password": password})
    assert (answer.status_code, fault in answer.text) == (422, True), answer.text


async def made(folder: Path, request: dict[str, Any], **own: Any) -> Any:
    """The job of a report that ran in this process, of a request that went through JSON as any job's does."""
    app, reports = shop(folder, **own)
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


def test_the_description_of_the_api_describes_each_member_of_a_request(api: TestClient) -> None:
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    for part in ("ReportRequest", "Layout", "Theme", "ColumnChoice"):
        lacking = [name for name, member in schemas[part]["properties"].items() if not member.get("description")]
        assert lacking == [], part
