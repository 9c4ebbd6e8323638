"""The supervisor over real processes: a Valkey and small programs, killed and stopped in every way."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.support.processes import is_alive
from tests.support.running import Running, running
from tests.support.waiting import eventually

Stack = Callable[..., AbstractAsyncContextManager[Running]]
Hangup = Callable[[signal.Handlers], None]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Starts a small stack; its programs can be replaced by name."""

    @asynccontextmanager
    async def start(*, ready: bool = True, grace: float = 1, **programs: str) -> AsyncGenerator[Running]:
        replaced = [f"{name}={source}" for name, source in programs.items()]
        async with running(["-m", "tests.support.small_stack", str(tmp_path), str(grace), *replaced]) as program:
            if ready:
                await program.printed(r"celeriac \| ready")
            yield program

    return start


def _pid(program: Running, name: str) -> int:
    """The pid that `name` printed last."""
    found = [m for line in program.lines if (m := re.match(rf"{name} +\| up (\d+)", line))]
    return int(found[-1][1])


def _broker(data_dir: Path) -> tuple[str, int]:
    address = json.loads((data_dir / "broker.json").read_text())
    return address["url"], address["pid"]


def _pids(program: Running, data_dir: Path) -> list[int]:
    return [_pid(program, "alpha"), _pid(program, "beta"), _broker(data_dir)[1]]


async def test_lines_carry_the_name_of_the_child(stack: Stack) -> None:
    async with stack() as program:
        assert [line for line in program.lines if line.startswith("alpha    | up ")]
        assert [line for line in program.lines if line.startswith("beta     | up ")]


async def test_the_broker_is_ready_before_the_others_start(stack: Stack, tmp_path: Path) -> None:
    source = "import pathlib, signal; print('up', pathlib.Path({!r}).exists()); signal.pause()"
    async with stack(alpha=source.format(str(tmp_path / "broker.json"))) as program:
        await program.printed(r"alpha    \| up True")


@pytest.fixture
def hangup() -> Generator[Hangup]:
    """Sets what programs that a test starts inherit for SIGHUP: `SIG_DFL`, or `SIG_IGN` as `nohup` does."""

    def inherit(action: signal.Handlers) -> None:
        signal.signal(signal.SIGHUP, action)

    before = signal.getsignal(signal.SIGHUP)
    yield inherit
    signal.signal(signal.SIGHUP, before)


async def test_a_stack_that_nohup_has_started_outlives_its_terminal(stack: Stack, hangup: Hangup) -> None:
    hangup(signal.SIG_IGN)
    async with stack() as program:
        program.signal(signal.SIGHUP)
        program.signal(signal.SIGTERM)
        await program.printed(r"celeriac \| SIGTERM: stopping")
        assert await program.ended() == 0
    assert not [line for line in program.lines if "SIGHUP" in line]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_stops_all_with_the_broker_last(
    stack: Stack, hangup: Hangup, tmp_path: Path, signum: signal.Signals
) -> None:
    hangup(signal.SIG_DFL)  # even if the tests run under `nohup`
    async with stack() as program:
        pids = _pids(program, tmp_path)
        program.signal(signum)
        assert await program.ended() == 0
    assert not [pid for pid in pids if is_alive(pid)]
    assert program.number(r"broker +\| .*bye bye") > program.number(r"(alpha|beta) +\| down")
    assert not (tmp_path / "broker.json").exists()


async def test_children_that_ignore_sigterm_are_killed(stack: Stack) -> None:
    deaf = "import os, signal; signal.signal(15, signal.SIG_IGN); print('up', os.getpid())\nwhile 1: signal.pause()"
    async with stack(alpha=deaf) as program:
        pid = _pid(program, "alpha")
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
    assert not is_alive(pid)
    program.number("alpha has not ended within 1 s; killing it")


SLOW_TO_STOP = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: print("busy", flush=True))
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""


@pytest.mark.slow
async def test_a_second_ctrl_c_kills(stack: Stack, tmp_path: Path) -> None:
    async with stack(grace=60, alpha=SLOW_TO_STOP) as program:
        pids = _pids(program, tmp_path)
        program.signal(signal.SIGINT)
        await program.printed(r"alpha +\| busy")
        await eventually(lambda: _ended_by_another(program, signal.SIGINT), "another Ctrl-C ends it", within=60)
        await program.ended()
    assert not [pid for pid in pids if is_alive(pid)]
    program.number("killing what is left")


def _ended_by_another(program: Running, signum: signal.Signals) -> bool:
    if program.process.returncode is None:
        program.signal(signum)
    return program.process.returncode is not None


@pytest.mark.slow
async def test_a_ctrl_c_that_arrives_twice_is_one(stack: Stack) -> None:
    """As from `timeout`, which signals the process and then its group."""
    async with stack() as program:
        program.signal(signal.SIGINT)
        program.signal(signal.SIGINT)
        assert await program.ended() == 0
    assert not any("killing" in line for line in program.lines)


async def test_nothing_survives_a_killed_supervisor(stack: Stack, tmp_path: Path) -> None:
    async with stack() as program:
        pids = _pids(program, tmp_path)
        assert all(map(is_alive, pids))
        program.signal(signal.SIGKILL)
        await program.process.wait()
        await eventually(lambda: not any(map(is_alive, pids)), f"{pids} are gone")


async def test_a_killed_child_comes_back_and_the_others_stay(stack: Stack) -> None:
    async with stack() as program:
        alpha, beta = _pid(program, "alpha"), _pid(program, "beta")
        seen = len(program.lines)
        os.kill(alpha, signal.SIGKILL)
        await program.printed(r"celeriac \| alpha was killed by SIGKILL; starting it again in 0\.05 s", after=seen)
        await program.printed(r"alpha +\| up", after=seen)
        assert _pid(program, "alpha") != alpha
        assert is_alive(beta)


@pytest.mark.slow
async def test_what_a_dead_child_has_started_goes_with_it(stack: Stack) -> None:
    parent = (
        "import os, signal, subprocess\n"
        "print('started', subprocess.Popen(['sleep', '300']).pid)\n"
        "print('up', os.getpid(), flush=True)\n"
        "signal.pause()"
    )
    async with stack(alpha=parent) as program:
        grandchild = int((await program.printed(r"alpha +\| started (\d+)"))[1])
        assert is_alive(grandchild)
        os.kill(_pid(program, "alpha"), signal.SIGKILL)
        await eventually(lambda: not is_alive(grandchild), "the grandchild is gone")


@pytest.mark.slow
async def test_the_delay_doubles_up_to_its_limit(stack: Stack) -> None:
    async with stack() as program:
        for delay in ("0.05", "0.1", "0.2", "0.4", "0.4"):
            seen = len(program.lines)
            os.kill(_pid(program, "alpha"), signal.SIGKILL)
            await program.printed(rf"alpha was killed by SIGKILL; starting it again in {delay} s", after=seen)
            await program.printed(r"alpha +\| up", after=seen)


async def test_a_killed_broker_comes_back_with_its_address_and_data(stack: Stack, tmp_path: Path) -> None:
    async with stack() as program:
        url, pid = _broker(tmp_path)
        async with Redis.from_url(url) as client:
            await client.set("key", "kept")
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: _broker(tmp_path)[1] != pid, "another broker has been published")
        assert _broker(tmp_path)[0] == url
        async with Redis.from_url(url) as client:
            assert await client.get("key") == b"kept"
        assert is_alive(_pid(program, "alpha"))


async def test_a_child_that_is_never_ready_ends_the_start(stack: Stack, tmp_path: Path) -> None:
    async with stack(ready=False, alpha="raise SystemExit('no module named shop')") as program:
        assert await program.ended() == 1
    program.number(r"alpha +\| no module named shop")
    program.number("failed: alpha ended with exit code 1, 3 times, and was never ready")
    program.number(r"broker +\| .*bye bye")
    assert not is_alive(_pid(program, "beta"))


@pytest.mark.slow
async def test_a_signal_during_the_start_stops_it(stack: Stack) -> None:
    async with stack(ready=False, alpha="import signal; print('thinking', flush=True); signal.pause()") as program:
        await program.printed("thinking")
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
    assert "celeriac | ready" not in program.lines
