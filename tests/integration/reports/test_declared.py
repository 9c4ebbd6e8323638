"""A wrong declaration of a report ends each process at its start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac import Settings
from celeriac.settings import as_environment
from tests.support.slow import quick_first

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
    quick_first(
        [
            ["celeriac.launch.programs.serve", "late:api"],
            ["celeriac.engine.start.command", "-A", "late:app", "worker"],
            ["celeriac.engine.start.command", "-A", "late:app", "beat"],
        ]
    ),
    ids=["api", "worker", "beat"],
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
