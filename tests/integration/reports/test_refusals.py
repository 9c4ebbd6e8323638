"""What is wrong with a request is told before a job is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.report_api import ReportApi

ORDERS = {"name": "orders"}


@pytest.mark.parametrize(
    ("source", "more", "fault"),
    [
        ({"name": "other"}, {}, "source.name: no source is named 'other'"),
        (
            {"name": "orders", "parameters": {"since": "soon"}},
            {},
            "source.parameters.since: Input should be a valid date",
        ),
        ({"name": "orders", "parameters": {"x": 1}}, {}, "source.parameters.x: Extra inputs are not permitted"),
        ({"name": "numbers"}, {}, "source.parameters.count: Field required"),
        ({"sql": "SELECT 1", "connection": "other"}, {}, "source.connection: no connection is named 'other'"),
        ({"sql": "SELECT :x", "connection": "shop"}, {}, "source.parameters.x: Field required"),
        ({"upload": "x"}, {}, "source.upload: no upload with id 'x' is known"),
        ({"rows": [[1]]}, {}, "rows that are arrays need `columns`"),
        ({"rows": []}, {}, "without a row, name the columns in `columns`"),
        ({"rows": [{"a": 1}], "columns": ["a"]}, {}, "leave `columns` out"),
        ({"rows": [{"a": [1]}]}, {}, "source.rows"),
        ({}, {}, "source: give one of: name; sql; upload; rows"),
        (ORDERS, {"formats": []}, "formats"),
        (ORDERS, {"formats": ["pdf", "pdf"]}, "name each format once"),
        (ORDERS, {"formats": ["doc"]}, "formats"),
        (ORDERS, {"formats": ["csv"], "preview": True}, "a preview is a page of the PDF"),
        (ORDERS, {"file_name": "../x"}, "file_name: the file name '../x.pdf' contains /"),
        (ORDERS, {"file_name": ".."}, "begins or ends with a dot or a space"),
        (ORDERS, {"file_name": "fdp\u202efdp.exe"}, "contains characters that cannot be printed"),
        (ORDERS, {"layout": {"theme": {"font_folder": "/etc"}}}, "fonts are a setting, CELERIAC_REPORTS_FONT_FOLDER"),
        (ORDERS, {"layout": {"colour": "red"}}, "layout.colour: Extra inputs are not permitted"),
        (ORDERS, {"then": {"task": "celeriac.reports.make"}}, "then.task: no job named 'celeriac.reports.make' can be"),
        (ORDERS, {"then": {"task": "shop.note"}}, "then.arguments.customer"),
    ],
)
async def test_a_wrong_request_is_refused_by_its_place(
    reports: ReportApi, source: dict[str, Any], more: dict[str, Any], fault: str
) -> None:
    answer = await reports.post(source, **more)
    assert answer.status_code == 422, answer.text
    assert fault in answer.json()["detail"]
    assert answer.json()["errors"]


async def test_the_sources_are_listed_with_what_callers_may_choose(reports: ReportApi) -> None:
    sources = {source["name"]: source for source in (await reports.client.get("/reports/sources")).json()["sources"]}
    assert list(sources) == ["endless", "flaky", "ledger", "numbers", "orders"]
    assert sources["orders"]["kind"] == "query"
    assert sources["orders"]["about"] == "Orders since a day"
    assert sources["orders"]["parameters"]["properties"]["since"]["format"] == "date"
    assert sources["numbers"]["parameters"]["required"] == ["count"]


async def test_a_report_of_no_job_or_of_another_kind_of_job_is_unknown(reports: ReportApi) -> None:
    other = (await reports.client.post("/jobs/shop.note", json={"customer": "a", "report": {}})).json()["id"]
    for job_id in ("nobody", other, "a b"):
        for path in (f"/reports/{job_id}", f"/reports/{job_id}/preview"):
            assert (await reports.client.get(path)).status_code == 404


async def test_the_same_key_makes_one_report(reports: ReportApi) -> None:
    body = {"source": {"rows": [{"a": 1}]}}
    headers = {"Idempotency-Key": "one"}
    first, second = [await reports.client.post("/reports", json=body, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    other = await reports.client.post("/reports", json={"source": {"rows": [{"a": 2}]}}, headers=headers)
    assert other.status_code == 409
