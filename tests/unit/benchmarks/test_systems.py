"""What is compared is pinned, told apart, and the same for everyone who runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import sync
from benchmarks.support.environments import versions
from benchmarks.support.options import Options
from benchmarks.support.systems import POOLS, every_system
from tests.support.workers import ROOT

REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements"


@pytest.mark.parametrize("pool", POOLS)
def test_names_tell_systems_apart(pool: str) -> None:
    systems = every_system(pool)
    assert len({system.name for system in systems}) == len(systems)


def test_each_environment_is_there_and_no_other() -> None:
    named = {system.environment for system in every_system("asyncio") if system.environment}
    assert {path.stem for path in REQUIREMENTS.glob("*.txt")} == named | {sync.ENVIRONMENT}
    assert all(versions(name) for name in named)


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_package_is_pinned_and_comes_from_nowhere_in_particular(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line), line


def test_systems_are_chosen_by_family_and_question() -> None:
    options = Options(families=frozenset({"celery"}))
    names = ["celery prefork", "celery prefork, base", "celery solo", "celery threads"]
    assert [system.name for system in options.systems()] == names
    assert [system.name for system in options.systems("canvas")] == ["celery prefork"]


def test_a_tuned_system_says_how() -> None:
    dramatiq = next(system for system in every_system("asyncio") if system.name == "dramatiq")
    assert dramatiq.tuned().name == "dramatiq, heartbeat timeout 3 s, maintenance always"
    assert dramatiq.tuned().variables["BENCH_HEARTBEAT_TIMEOUT"] == "3000"
