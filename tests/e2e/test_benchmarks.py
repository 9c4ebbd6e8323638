"""Each benchmark, at its smallest, with the systems that need no other packages than the project has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.support.options import Options
from benchmarks.support.system import System
from tests.support.workers import ROOT

SYSTEMS = "floor,celery,celeriac"
#: Stock Celery takes a minute to find what a killed worker left, if it does.
QUICK_TO_RECOVER = "floor,celeriac"
#: More than any of them takes on a busy machine.
WITHIN = 300


def _systems(question: str) -> list[System]:
    families = QUICK_TO_RECOVER if question == "recovery" else SYSTEMS
    return Options(families=frozenset(families.split(","))).systems(question)


def _names(question: str) -> list[str]:
    return [system.name for system in _systems(question)]


def _kinds(question: str, *kinds: str) -> list[str]:
    return [f"{kind}: {name}" for kind in kinds for name in _names(question)]


ROWS = {
    "api_enqueue": ["a route that does nothing", "POST /jobs/noop", "what the job adds"],
    "enqueue": [
        "enqueue",
        "enqueue, 100 at the same time",
        "enqueue_many, 500 at a time",
        "Celery's delay(), which blocks",
    ],
    "drain": _names("drain"),
    "io": _names("io"),
    "in_flight": _names("in_flight"),
    "latency": _names("latency"),
    "memory": _names("memory"),
    "start": _names("start"),
    "delayed": _names("delayed"),
    "finished": [
        *_names("finished"),
        *(f"{system.name}, stream-node-max-bytes 4096" for system in _systems("finished") if system.records),
    ],
    "reports": [
        *(f"{kind}: {system}" for kind in ("pdf", "xlsx", "csv", "designed") for system in ("plain", "celeriac")),
        "designed: celeriac, a job",
    ],
    "mail": [
        "celeriac",
        "aiosmtplib, 16 connections",
        "aiosmtplib, our bytes",
        "smtplib, 8 threads",
        "smtplib, our bytes",
        "floor",
    ],
    "mail_scale": ["200 recipients", "2,000 recipients, worker killed 3 times"],
    "webhooks": [
        "whole: floor",
        "whole: celeriac",
        "whole: celeriac, one process",
        "steady: none dead",
        "steady: 1 of 10 dead",
        "wide: celeriac",
    ],
    "webhooks_received": ["floor", "receive"],
    "sync": [
        *(f"{kind}: {system}" for kind in ("sqlite", "postgres") for system in ("by hand", "celeriac")),
        "memory: celeriac, 1,000 rows",
        "memory: celeriac, 5,000 rows",
    ],
    "cleanup": [
        *(f"{kind}: {system}" for kind in ("sqlite", "postgres") for system in ("alone", "by hand", "celeriac")),
        "memory: celeriac, 2,000 rows",
    ],
    "transcode": ["plain ffmpeg", "celeriac, a job"],
    "canvas": _kinds("canvas", "chains", "chords"),
    "enqueue_peers": _kinds("enqueue_peers", "one by one", "in bulk"),
    "files": [
        "upload: floor",
        "upload: floor with SHA-256",
        "upload: celeriac, tus",
        "upload: celeriac, tus in parts of 64 MiB",
        "form: floor",
        "form: celeriac",
        "download: floor",
        "download: celeriac",
        "job: floor",
        "job: floor with SHA-256",
        "job: celeriac",
    ],
    "recovery": [
        *_names("recovery"),
        *(system.tuned().name for system in _systems("recovery") if system.recovery),
        *(
            f"{system.name}, {which}"
            for system in _systems("recovery")
            if system.supervised
            for which in ("one process of two", "its only process")
        ),
    ],
}


def test_no_benchmark_is_left_out() -> None:
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "__main__", "harness"}
    assert set(ROWS) == programs


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_measures_every_system(name: str) -> None:
    systems = QUICK_TO_RECOVER if name == "recovery" else SYSTEMS
    done = _bench(name, "--quick", "--json", "--systems", systems, "--size", "4000000")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["bench"] == name
    assert result["unit"]
    assert [row["system"] for row in result["rows"]] == ROWS[name]
    for row in result["rows"]:
        assert row["min"] <= row["median"] <= row["max"], row


@pytest.mark.slow
def test_a_system_that_cannot_be_installed_fails_alone(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'no index here' >&2\nexit 2\n")
    uv.chmod(0o755)
    done = _bench("drain", "--quick", "--json", "--systems", "floor,SAQ", "--home", str(tmp_path), UV=str(uv))
    assert done.returncode == 1
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert [row["system"] for row in rows] == ["floor", "floor, one process"]
    assert "SAQ failed: uv venv" in done.stderr
    assert "no index here" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["speed"], "there is no benchmark speed; there are api_enqueue, canvas,"),
        (["drain", "--systems", "huey"], "there is no system huey; there are SAQ, arq, celeriac,"),
        (["drain", "--rounds", "0"], "give --rounds 1 or more"),
        (["files", "--size", "0"], "give --size 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_answered_with_what_can(arguments: list[str], answer: str) -> None:
    done = _bench(*arguments)
    assert done.returncode == 2
    assert answer in done.stderr


def _bench(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    environment = os.environ | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WITHIN)
