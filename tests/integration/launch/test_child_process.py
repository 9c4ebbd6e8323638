"""Children as processes: their life ends with their parent's, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.launch.supervision.child_process import ChildProcess, spawn
from celeriac.launch.supervision.log_output import LineReader
from tests.support.processes import command_lines, is_alive
from tests.support.waiting import eventually

#: The mechanisms that end a child with its parent; the watcher is the one that works everywhere.
MECHANISMS = ["watcher", "kernel"] if sys.platform == "linux" else ["watcher"]

PARENT = """
import asyncio, signal, sys
from celeriac.launch.supervision.child_process import spawn

async def main():
    child = await spawn(
        [sys.executable, "-c", sys.argv[1]],
        watcher=sys.argv[2] == "watcher",
        death_signal=signal.Signals[sys.argv[3]],
    )
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""

SLEEPER = "import signal; print('up', flush=True); signal.pause()"


async def _run(*argv: str, **options: object) -> tuple[int, list[str]]:
    """Exit code and output of a child that ends by itself."""
    lines: list[str] = []
    output = await LineReader.open(lines.append)
    child = await spawn(argv, output=output.write_end, **options)  # type: ignore[arg-type]
    output.close_write_end()
    code = await child.wait()
    await output.drain()
    return code, lines


def _start_parent(program: str, mechanism: str, death_signal: str) -> tuple[subprocess.Popen[str], int]:
    """A process with one child that is up; returns it and the child's pid."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, program, mechanism, death_signal], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    told = {parent.stdout.readline().strip(), parent.stdout.readline().strip()} - {"up"}
    return parent, int(told.pop())


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_child_is_killed_when_its_parent_is(mechanism: str) -> None:
    parent, child = _start_parent(SLEEPER, mechanism, "SIGKILL")
    with parent:
        assert is_alive(child)
        parent.kill()
    await eventually(lambda: not is_alive(child), "the child is gone")


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_child_may_get_a_gentle_signal(mechanism: str, tmp_path: Path) -> None:
    flushed = tmp_path / "flushed"
    program = (
        "import pathlib, signal, sys\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path({str(flushed)!r}).touch()))\n"
    ) + SLEEPER
    parent, child = _start_parent(program, mechanism, "SIGTERM")
    with parent:
        parent.kill()
    await eventually(lambda: not is_alive(child), "the child is gone")
    assert flushed.exists()


async def test_a_watcher_leaves_with_its_child() -> None:
    child = await spawn(["sleep", "300.25"], watcher=True)
    await eventually(lambda: _seen("300.25") == 2, "program and watcher run")
    child.signal(signal.SIGTERM)
    assert await child.wait() == -signal.SIGTERM
    await eventually(lambda: _seen("300.25") == 0, "the watcher is gone")


def _seen(argument: str) -> int:
    return sum(argument in line.split() for line in command_lines().values())


async def test_the_group_of_a_child_is_killed_with_it() -> None:
    lines: list[str] = []
    output = await LineReader.open(lines.append)
    child = await spawn(["sh", "-c", "sleep 300 & echo $!; wait"], output=output.write_end)
    output.close_write_end()
    await eventually(lambda: bool(lines), "the grandchild is up")
    child.kill_group()
    assert await child.wait() == -signal.SIGKILL
    await eventually(lambda: not is_alive(int(lines[0])), "the grandchild is gone")
    await output.drain()


async def test_stopping_is_gentle_at_first() -> None:
    child = await _child_that_is_up("import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))")
    assert await child.stop(grace=10) == 7


async def test_stopping_is_firm_at_last() -> None:
    child = await _child_that_is_up("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    assert await child.stop(grace=0.1) == -signal.SIGKILL


async def _child_that_is_up(preparation: str) -> ChildProcess:
    up = asyncio.Event()
    output = await LineReader.open(lambda _: up.set())
    child = await spawn([sys.executable, "-c", f"{preparation}\n{SLEEPER}"], output=output.write_end)
    output.close_write_end()
    await up.wait()
    return child


async def test_a_child_reads_what_it_is_given_on_stdin() -> None:
    assert await _run("cat", stdin=b"first\nsecond\n") == (0, ["first", "second"])


async def test_more_than_a_pipe_holds_is_refused() -> None:
    with pytest.raises((ValueError, BlockingIOError)):
        await spawn(["cat"], stdin=b"x" * 10_000_000)


async def test_the_environment_is_added_to() -> None:
    code, lines = await _run("sh", "-c", "echo $CELERIAC_TESTED $HOME", environment={"CELERIAC_TESTED": "yes"})
    assert (code, lines) == (0, [f"yes {os.environ['HOME']}"])


async def test_a_program_that_is_missing_says_so() -> None:
    assert await _run("/no/such/program") == (
        127,
        ["cannot execute /no/such/program: No such file or directory"],
    )


async def test_signals_have_their_default_meaning() -> None:
    """CPython ignores SIGPIPE, and what is ignored stays ignored across exec."""
    assert await _run("sh", "-c", "kill -PIPE $$; echo survived") == (-signal.SIGPIPE, [])


async def test_signalling_the_dead_is_no_error() -> None:
    child = await spawn(["true"])
    assert await child.wait() == 0
    child.signal(signal.SIGTERM)
    child.kill_group()
