"""Every example runs with a real worker, and prints what its first lines say."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tests.support.fixtures import on_database
from tests.support.markdown import blocks, matches
from tests.support.pages import emptied, reader_environment
from tests.support.waiting import DEADLINE
from tests.support.warm import WarmProcess
from tests.support.workers import ROOT

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path for path in EXAMPLES.glob("*.py") if "__main__" in path.read_text())
COMPARED = ("mail_service.py", "background_tasks.py", "celeriac_jobs.py")

#: Databases that examples take turns with.
DATABASES = range(3, 5)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_prints_what_it_says(program: Path, readers_valkey_url: str, tmp_path: Path) -> None:
    shutil.copy(program, tmp_path)
    url = emptied(on_database(readers_valkey_url, DATABASES[PROGRAMS.index(program) % len(DATABASES)]))
    environment = reader_environment(tmp_path / ".bin") | {"CELERIAC_BROKER_URL": url}

    def start(kind: str, *arguments: str) -> WarmProcess:
        return WarmProcess(kind, arguments, cwd=tmp_path, environment=environment, log=tmp_path / f"{kind}.log")

    app = f"{program.stem}:app"
    beside = [start("worker", app)]
    if "app.schedule(" in program.read_text():
        beside.append(start("beat", app, "--schedule", str(tmp_path / "schedule")))
    try:
        beside[0].wait_for(r" ready\.")
        run = start("python", program.name)
        code = run.wait(DEADLINE)
        worker_log = beside[0].output
    finally:
        for process in beside:
            process.end()
    assert code == 0, f"{run.output}\n{worker_log}"
    assert matches(printed_by(program), run.output), f"{run.output}\ninstead of\n{printed_by(program)}"


def printed_by(program: Path) -> str:
    """What the first lines of an example say that it prints."""
    said = ast.get_docstring(ast.parse(program.read_text())) or ""
    _, _, output = said.partition(f"$ python {program.name}")
    return "\n".join(line.strip() for line in output.splitlines()[1:])


@pytest.mark.parametrize("name", COMPARED)
def test_the_page_that_compares_shows_the_examples(name: str) -> None:
    page = ROOT / "docs" / "explanation" / "background-tasks.md"
    shown = [block.text for block in blocks(page) if block.file == name]
    assert shown == [f"# file: {name}\n{(EXAMPLES / name).read_text().rstrip()}"]


def test_every_example_is_run() -> None:
    assert {*PROGRAMS, *(EXAMPLES / name for name in COMPARED)} == set(EXAMPLES.glob("*.py"))
