"""`celeriac jobs`, as a script uses it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli import main


@pytest.fixture
def jobs(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs `celeriac jobs ARGUMENTS --json` on an application without a worker; returns what it printed."""
    monkeypatch.setenv("CELERIAC_BROKER_URL", broker_url)
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))
    monkeypatch.delitem(sys.modules, "tests.support.own_app", raising=False)  # it reads them when imported

    def run(*arguments: str) -> Any:
        command = ["celeriac", "jobs", *arguments, "--app", "tests.support.own_app:app", "--json"]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        return json.loads(printed.out)

    return run


def test_a_script_enqueues_cancels_and_retries_a_job(jobs: Callable[..., Any]) -> None:
    job_id = jobs("enqueue", "own.add", '{"a": 1, "b": 2}')["id"]
    assert [job["id"] for job in jobs("list")] == [job_id]
    cancelled = jobs("cancel", job_id)
    assert (cancelled["id"], cancelled["state"]) == (job_id, "cancelled")
    assert jobs("retry", job_id)["state"] == "queued"
    assert jobs("show", job_id)["arguments"] == {"a": 1, "b": 2}
