"""What is wrong with a request, as far as it can be known before the data is read: the API answers 422 at once."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.asgi import include
from celeriac.families.reports import ReportsFamily, ReportsSettings
from tests.support.local_client import local_client

ROWS = {"rows": [{"kunde": "Müller", "betrag": 3, "tag": "2026-01-31"}, {"kunde": "Groß", "betrag": 4, "tag": None}]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An API that refuses all that it is asked here, and so is the same for each test."""
    folder = tmp_path_factory.mktemp("asked")
    nowhere = SecretStr("redis://127.0.0.1:1/0")  # nothing of these tests needs it
    app = Celeriac("shop", settings=Settings(broker_url=nowhere, data_dir=folder, storage_reserve_bytes=0))
    own: dict[str, Any] = {"reports_connections": f"shop=sqlite:///{folder}/shop.db", "reports_free_sql": True}
    app.include_family(ReportsFamily, ReportsSettings(reports_scratch=folder / "scratch", **own))
    served = FastAPI()
    include(served, app)
    with local_client(served) as client:
        yield client


@pytest.mark.parametrize(
    ("layout", "place", "fault"),
    [
        ({"locale": "xx"}, "layout.locale", "the locale 'xx' is not known"),
        ({"locale": "root"}, "layout.locale", "the locale 'root' is not known"),
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


def test_the_description_of_the_api_describes_each_member_of_a_request(api: TestClient) -> None:
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    for part in ("ReportRequest", "Layout", "Theme", "ColumnChoice"):
        lacking = [name for name, member in schemas[part]["properties"].items() if not member.get("description")]
        assert lacking == [], part
