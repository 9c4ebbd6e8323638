"""What an application declares of reports is checked when it is complete, and not when a schedule is due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.asgi import create_api
from celeriac.families.reports import ReportsFamily, ReportsSettings
from celeriac.families.reports.errors import SourceInvalid

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"source": {"name": "orders"}}, "schedule 'nightly': source.name: no source is named 'orders'"),
    (
        {"source": {"name": "deliveries", "parameters": {"land": "FR"}}},
        "schedule 'nightly': source.parameters.country: Field required",
    ),
    (
        {"source": {"name": "deliveries", "parameters": {"country": "FR"}}, "layout": {"timezone": "Berlin"}},
        "schedule 'nightly': layout.timezone: the time zone 'Berlin' is not known",
    ),
]


def shop(folder: Path, request: dict[str, Any]) -> Celeriac:
    """An application that schedules a report of a source which it declares later."""
    settings = Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=folder, storage_reserve_bytes=0)
    app = Celeriac("shop", settings=settings)
    reports = app.include_family(ReportsFamily, ReportsSettings(reports_scratch=folder / "scratch"))
    app.schedule("nightly", reports.call(request), cron="0 3 * * *")

    @reports.source
    def deliveries(country: str) -> list[dict[str, Any]]:
        return [{"country": country}]

    return app


def test_a_schedule_of_a_source_that_is_declared_later_is_well(tmp_path: Path) -> None:
    shop(tmp_path, {"source": {"name": "deliveries", "parameters": {"country": "FR"}}}).check_complete()


@pytest.mark.parametrize(("request_", "fault"), FAULTS)
def test_a_wrong_schedule_is_found_when_the_application_is_complete(
    tmp_path: Path, request_: dict[str, Any], fault: str
) -> None:
    app = shop(tmp_path, request_)
    with pytest.raises(SourceInvalid) as caught:
        app.check_complete()
    assert fault in str(caught.value)
    with pytest.raises(SourceInvalid), TestClient(FastAPI(lifespan=app.lifespan)):
        pass


def test_a_query_on_an_unknown_connection_is_found_when_the_application_is_complete(tmp_path: Path) -> None:
    app = Celeriac("shop", settings=Settings(data_dir=tmp_path))
    settings = ReportsSettings(reports_connections="firma=sqlite:///firma.db")  # type: ignore[arg-type]
    reports = app.include_family(ReportsFamily, settings)
    reports.query("orders", "SELECT 1", connection="firmx")
    with pytest.raises(SourceInvalid, match="CELERIAC_REPORTS_CONNECTIONS names firma"):
        app.check_complete()


def test_a_file_with_a_query_on_an_unknown_connection_stops_the_built_in_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders.sql").write_text("-- connection: firmx\nSELECT 1")
    monkeypatch.setenv("CELERIAC_REPORTS_QUERIES", str(tmp_path))
    with pytest.raises(SourceInvalid, match="query orders: no connection is named 'firmx'"):
        create_api(Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path))
