"""Children that say why they cannot start: at once the first time, and one line each time later."""

from __future__ import annotations

import io
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

from celeriac.core.errors import StartRefused
from celeriac.core.exits import ExitCode
from celeriac.launch.stack.children import reporting_child
from celeriac.launch.supervision.child_supervisor import RestartPolicy
from celeriac.launch.supervision.log_output import LogWriter
from celeriac.launch.supervision.probes import LogProbe
from celeriac.launch.supervision.supervisor import Supervisor
from tests.support.running import running
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.workers import ROOT

#: Runs while the file is there; without it, it says on its report that it cannot.
PROGRAM = """
import os, pathlib, sys, time
if pathlib.Path("application").exists():
    print("up", flush=True)
    while pathlib.Path("application").exists():
        time.sleep(0.01)
    sys.exit(1)
from celeriac.core.parent_protocol import Refused, encode
os.write(int(sys.argv[2]), encode(Refused(6, "it is broken", "Traceback")))
sys.exit(6)
"""


def _supervisor(stream: io.StringIO, names: list[str]) -> Supervisor:
    command = (sys.executable, "-c", PROGRAM)
    children = [reporting_child(name, command, {}, partial(LogProbe, "up")) for name in names]
    return Supervisor(children, LogWriter(stream, names), RestartPolicy(first=0.05, longest=0.1))


async def test_a_child_that_says_why_it_cannot_start_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    supervisor = _supervisor(stream, ["alpha", "beta", "gamma"])
    with pytest.raises(StartRefused, match=r"^it is broken$") as caught:
        await supervisor.start()
    await supervisor.stop()
    assert (caught.value.code, caught.value.traceback) == (ExitCode.APPLICATION, "Traceback")
    assert stream.getvalue() == ""


async def test_what_breaks_later_is_a_line_for_each_start_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    application = tmp_path / "application"
    application.touch()
    stream = io.StringIO()
    supervisor = _supervisor(stream, ["alpha"])
    try:
        await supervisor.start()
        application.unlink()
        said = "celeriac | alpha cannot start: it is broken; starting it again in 0.1 s\n"
        await eventually(lambda: stream.getvalue().count(said) >= 2, "it is started again and again")
        assert "Traceback" not in stream.getvalue()
        application.touch()
        await eventually(lambda: stream.getvalue().endswith("alpha    | up\n"), "it is back")
    finally:
        await supervisor.stop()


#: A command, and what its one line says.
MISSING = "ModuleNotFoundError: No module named 'missing_package'"
REFUSED: list[tuple[list[str], str]] = [
    (["up", "--port", "0", "--flower-port", "0"], MISSING),
    (["jobs", "list"], MISSING),
    (["worker", "--shards", "2"], MISSING),
    (["beat"], MISSING),
    (["api", "--port", "0"], MISSING),
    (["dead", "list"], MISSING),
    (["up", "--api", "web:apy", "--app", "web:app", "--port", "0", "--flower-port", "0"], "'web' has no 'apy'"),
]


@pytest.mark.parametrize("refused", quick_first(REFUSED, quick=2), ids=lambda refused: "-".join(refused[0]))
async def test_an_application_that_cannot_be_imported_ends_a_command_with_one_line(
    tmp_path: Path, refused: tuple[list[str], str]
) -> None:
    command, message = refused
    (tmp_path / "broken.py").write_text("import missing_package\n")
    (tmp_path / "web.py").write_text("from celeriac import Celeriac\napp = Celeriac('web')\n")
    arguments = ["-m", "celeriac", "--traceback", *command]
    async with running(arguments, cwd=tmp_path, environment={"CELERIAC_APP": "broken:app"}) as program:
        assert await program.ended(within=120) == ExitCode.APPLICATION
    errors = [line for line in program.lines if message in line and line.startswith("celeriac: error: ")]
    assert len(errors) == 1
    assert sum("Traceback" in line for line in program.lines) == ("broken.py" in errors[0])
    assert not any("starting it again" in line for line in program.lines)
    assert program.lines[-1] == errors[0]


@pytest.mark.parametrize("made_of", quick_first(["Celery('shop', broker='redis://127.0.0.1:1'", "Celeriac('shop'"]))
@pytest.mark.parametrize(
    "command", quick_first([["worker", "--shards", "2"], ["up", "--port", "0", "--no-flower"]]), ids=" ".join
)
async def test_a_result_backend_that_cannot_be_used_ends_the_start_with_one_line(
    tmp_path: Path, command: list[str], made_of: str
) -> None:
    lines = "from celery import Celery\nfrom celeriac import Celeriac\n"
    (tmp_path / "shop.py").write_text(f"{lines}app = {made_of}, backend='nonsense://user:hidden@host')\n")
    environment = {"CELERIAC_APP": "shop:app", "CELERIAC_BROKER_URL": "redis://127.0.0.1:1"}
    async with running(["-m", "celeriac", *command], cwd=tmp_path, environment=environment) as program:
        assert await program.ended(within=120) == ExitCode.CONFIGURATION
    (line,) = [line for line in program.lines if "result_backend" in line]
    assert "'nonsense' cannot be used: ModuleNotFoundError" in line
    assert "hidden" not in "\n".join(program.lines)
    assert "Traceback" not in "\n".join(program.lines)


@pytest.mark.parametrize(
    "command",
    quick_first(
        [["worker", "--shards", "2"], ["beat"], ["api", "--port", "0"], ["up", "--port", "0", "--no-flower"]], quick=2
    ),
    ids=" ".join,
)
async def test_a_script_with_a_field_that_python_does_not_have_ends_the_start_with_one_line(
    tmp_path: Path, command: list[str]
) -> None:
    copy = tmp_path / "celeriac"
    # With its bytecode, since compiling takes longer than all the rest, but without what is just being written.
    shutil.copytree(ROOT / "src" / "celeriac", copy, ignore=shutil.ignore_patterns("*.pyc.*"))
    script = copy / "store" / "scripts" / "renew.lua"
    script.write_text(script.read_text().replace("local worker,", "local worker, rank,"))
    environment = {"CELERIAC_BROKER_URL": "redis://127.0.0.1:1", "PYTHONPATH": str(tmp_path)}
    async with running(["-m", "celeriac", *command], cwd=tmp_path, environment=environment) as program:
        assert await program.ended(within=120) == ExitCode.FAILURE
    (line,) = [line for line in program.lines if "renew.lua" in line]
    assert line.startswith("celeriac: error: renew.lua: the fields of 'args' differ from Python's: rank in Lua where ")
    assert "Traceback" not in "\n".join(program.lines)
