"""The page of results: parts are replaced, and everything else stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.harness import Bench
from benchmarks.support.options import Options
from benchmarks.support.page import Page, settings_table
from tests.support.workers import ROOT

PERFORMANCE = ROOT / "docs" / "explanation" / "performance.md"


def test_a_part_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# A\n\n<!-- bench: a -->\n\nold\n\n<!-- end -->\n\nprose\n\n<!-- bench: b -->\n<!-- end -->\n")
    Page(path).show("a", r"new \1")
    Page(path).show("b", "other")
    assert path.read_text() == (
        "# A\n\n<!-- bench: a -->\n\nnew \\1\n\n<!-- end -->\n\nprose\n\n<!-- bench: b -->\n\nother\n\n<!-- end -->\n"
    )


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# A\n")
    with pytest.raises(ValueError, match="no part <!-- bench: a -->"):
        Page(path).show("a", "new")


def test_the_plot_is_beside_the_page(tmp_path: Path) -> None:
    benches = [Bench(name, "jobs", "jobs/s", better="higher") for name in ("drain", "io", "enqueue_peers", "latency")]
    for bench in benches:
        bench.add("floor", [1])
    path = tmp_path / "performance.md"
    path.write_text("<!-- bench: plot -->\n<!-- end -->\n")
    Page(path).plot(benches[:2])
    assert not (tmp_path / "performance.svg").exists(), "a part of the plot must not take the place of the whole"
    Page(path).plot(benches)
    assert (tmp_path / "performance.svg").read_text().startswith("<svg")
    assert "](performance.svg)" in path.read_text()


def test_every_benchmark_has_its_part_of_the_page() -> None:
    parts = set(re.findall(r"<!-- bench: (\w+) -->", PERFORMANCE.read_text()))
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "__main__", "harness"}
    assert parts == programs | {"machine", "systems", "plot"}


def test_the_settings_of_every_system_are_shown() -> None:
    systems = Options().systems()
    table = settings_table(systems)
    assert len(table.splitlines()) == 2 + len(systems)
    assert all(system.settings in table for system in systems)
