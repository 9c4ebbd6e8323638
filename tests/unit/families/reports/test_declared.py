"""What an application declares of reports is checked when it is complete, and not when a schedule is due."""

from __future__ import annotations

import os
import subprocess
import sys
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
from celeriac.settings import as_environment

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


PROGRAM = """
from celeriac import Celeriac
from fastapi import FastAPI
from celeriac.families.reports import ReportsFamily

app = Celeriac("shop")
reports = app.include_family(ReportsFamily)
app.schedule("nightly", reports.call({"source": {"name": "orders"}}), every=60)
api = FastAPI(lifespan=app.lifespan)
"""


@pytest.mark.parametrize(
    "command",
    [
        ["celeriac.engine.start.command", "-A", "late:app", "worker"],
        ["celeriac.engine.start.command", "-A", "late:app", "beat"],
        ["celeriac.launch.programs.serve", "late:api"],
    ],
    ids=["worker", "beat", "api"],
)
def test_each_process_ends_at_its_start_in_one_line(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "late.py").write_text(PROGRAM)
    settings = Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path), **as_environment(settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "schedule 'nightly': source.name: no source is named 'orders'" in ended.stderr
