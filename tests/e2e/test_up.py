"""`celeriac up`, all of it: broker, API, worker, beat and Flower as users run them."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from celeriac.cli import ExitCode
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.settings import Settings
from tests.support.processes import command_lines, is_alive
from tests.support.running import Running, running
from tests.support.waiting import eventually

NAMES = {"broker", "api", "worker", "beat", "flower"}
READY = r"celeriac \| ready in ([\d.]+) s"
STARTS = 120.0  # seconds; on a machine that has other work to do as well


@asynccontextmanager
async def _up(data_dir: Path, *options: str, **variables: str) -> AsyncGenerator[Running]:
    command = ["-m", "celeriac", "up", "--data-dir", str(data_dir), "--port", "0", "--flower-port", "0", *options]
    async with running(command, environment=variables, cwd=data_dir) as stack:
        await stack.printed(READY, within=STARTS)
        yield stack


def _address(data_dir: Path, name: str) -> str:
    return json.loads((data_dir / "stack.json").read_text())[name]


def _processes(stack: Running) -> dict[int, str]:
    """The stack's children, and what they run."""
    lines = command_lines()
    return {pid: lines[pid] for pid in _children_of(stack.process.pid) if pid in lines}


def _children_of(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children]


def _pids(stack: Running, part: str) -> set[int]:
    """The children that have `part` in their command lines."""
    return {pid for pid, line in _processes(stack).items() if part in line}


async def _run_echo(api: str, value: Any, headers: dict[str, str] | None = None) -> Any:
    """Submit the job for smoke tests over HTTP and return its result."""
    async with httpx2.AsyncClient(base_url=api, headers=headers) as client:

        async def result() -> httpx2.Response | None:
            answer = await client.get(f"/jobs/{submitted.json()['id']}/result")
            return answer if answer.status_code == 200 else None

        submitted = await client.post("/jobs/celeriac.echo", json={"value": value})
        assert submitted.status_code == 202, submitted.text
        return (await eventually(result, "the job has a result")).json()["result"]


@pytest.mark.slow
async def test_a_stack_from_its_start_to_its_end(tmp_path: Path) -> None:
    _leave_open_to_all(tmp_path)
    async with _up(tmp_path) as stack:
        await _assert_that_everything_answers(tmp_path, stack)
        await _assert_that_a_second_one_is_refused(tmp_path, stack)
        _assert_that_no_password_can_be_seen(tmp_path, stack)
        await _assert_that_every_killed_process_comes_back(tmp_path, stack)
        children = _processes(stack)
        stack.signal(signal.SIGTERM)
        assert await stack.ended(within=60) == ExitCode.OK
    _assert_that_nobody_else_can_read(tmp_path)
    assert {line.split()[0] for line in stack.lines} == {"celeriac", *NAMES}
    assert len(children) == len(NAMES)
    assert not [pid for pid in children if is_alive(pid)]
    assert stack.lines[-1].startswith("broker")
    assert not (tmp_path / "stack.json").exists()


def _leave_open_to_all(data_dir: Path) -> None:
    """As `mkdir` under a wide umask leaves a directory, and an earlier version the database in it."""
    data_dir.chmod(0o777)
    (data_dir / "celeriac.db").touch()
    (data_dir / "celeriac.db").chmod(0o644)


def _assert_that_nobody_else_can_read(data_dir: Path) -> None:
    entries = [data_dir, *data_dir.rglob("*")]
    modes = {entry.name: oct(stat.S_IMODE(entry.stat().st_mode)) for entry in entries}
    assert modes == {entry.name: "0o700" if entry.is_dir() else "0o600" for entry in entries}
    assert {"celeriac.db", "beat-schedule.json", "lock"} <= modes.keys()


async def _assert_that_everything_answers(data_dir: Path, stack: Running) -> None:
    api, flower = _address(data_dir, "api"), _address(data_dir, "flower")
    assert await _run_echo(api, {"any": ["value"]}) == {"any": ["value"]}
    async with httpx2.AsyncClient() as client:
        for page in (f"{api}/docs", f"{api}/health/ready", f"{flower}/healthcheck"):
            assert (await client.get(page)).status_code == 200, page
    await stack.printed(rf"API docs +{re.escape(api)}/docs")
    await stack.printed(rf"Flower +{re.escape(flower)}$")


async def _assert_that_a_second_one_is_refused(data_dir: Path, first: Running) -> None:
    command = ["-m", "celeriac", "up", "--data-dir", str(data_dir), "--port", "0", "--flower-port", "0"]
    async with running(command) as second:
        assert await second.ended() == ExitCode.BUSY
    assert second.lines == [
        f"celeriac: error: {data_dir} is in use by the stack with pid {first.process.pid}; "
        "stop it, or choose another directory with --data-dir"
    ]


def _assert_that_no_password_can_be_seen(data_dir: Path, stack: Running) -> None:
    password = urlsplit(Settings(data_dir=data_dir).broker()).password
    assert password
    assert not [line for line in command_lines().values() if password in line]
    assert not [line for line in stack.lines if password in line]


async def _assert_that_every_killed_process_comes_back(data_dir: Path, stack: Running) -> None:
    api = _address(data_dir, "api")
    for part in ("valkey-server", "celeriac.launch.programs.serve", "fork_server", " beat ", " flower "):
        (killed,) = _pids(stack, part)
        os.kill(killed, signal.SIGKILL)
        again = await eventually(lambda part=part, killed=killed: _pids(stack, part) - {killed}, part)
        assert len(again) == 1
    await eventually(lambda: _answers(f"{api}/health/ready"), "the API answers", within=STARTS)
    assert await _run_echo(api, "after") == "after"


async def _answers(url: str) -> bool:
    async with httpx2.AsyncClient() as client:
        try:
            return (await client.get(url)).status_code == 200
        except httpx2.TransportError:
            return False


@pytest.mark.slow
async def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    async with _up(tmp_path) as stack:
        children = list(_processes(stack))
        assert len(children) == len(NAMES)
        stack.signal(signal.SIGKILL)
        await eventually(lambda: not [pid for pid in children if is_alive(pid)], "all are gone")


@pytest.mark.slow
async def test_a_broker_of_ones_own_takes_the_place_of_the_embedded_one_and_workers_may_be_several(
    tmp_path: Path,
) -> None:
    async with (
        embedded_valkey(tmp_path / "elsewhere", append_only=False) as url,
        _up(tmp_path, "--no-flower", "--no-beat", "--shards", "2", CELERIAC_BROKER_URL=url) as stack,
    ):
        assert await _run_echo(_address(tmp_path, "api"), 7) == 7
        assert len(_processes(stack)) == 2
        (fork_server,) = _pids(stack, "fork_server")
        assert len(_children_of(fork_server)) == 2
        assert {line.split()[0] for line in stack.lines} == {"celeriac", "api", "worker-1", "worker-2"}
        assert not (tmp_path / "valkey").exists()


@pytest.mark.slow
async def test_off_loopback_flower_and_the_api_want_the_key(tmp_path: Path) -> None:
    secret = "0123456789abcdef"
    variables = {"CELERIAC_HOST": "0.0.0.0", "CELERIAC_API_KEYS": f"ci:{secret}"}
    async with _up(tmp_path, "--no-beat", **variables) as stack, httpx2.AsyncClient() as client:
        api, flower = _address(tmp_path, "api"), _address(tmp_path, "flower")
        assert (await client.get(f"{api}/jobs")).status_code == 401
        assert await _run_echo(api, 1, {"Authorization": f"Bearer {secret}"}) == 1
        assert (await client.get(flower)).status_code == 401
        assert (await client.get(flower, auth=("ci", secret))).status_code == 200
        assert not [line for line in (*stack.lines, *command_lines().values()) if secret in line]


@pytest.mark.slow
async def test_the_users_own_applications(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from celeriac import Celeriac\n"
        "from fastapi import FastAPI\n"
        "app = Celeriac('shop')\n"
        "@app.job\n"
        "async def double(number: int) -> int:\n"
        "    return 2 * number\n"
        "api = FastAPI(lifespan=app.lifespan)\n"
        "api.include_router(app.router(), prefix='/work')\n"
    )
    options = ("-A", "shop:app", "--api", "shop:api", "--no-flower", "--no-beat")
    async with _up(tmp_path, *options), httpx2.AsyncClient(base_url=_address(tmp_path, "api")) as client:
        submitted = await client.post("/work/shop.double", json={"number": 21})
        assert submitted.status_code == 202, submitted.text
        job = f"/work/{submitted.json()['id']}"

        async def result() -> Any:
            return (await client.get(f"{job}/result")).json().get("result")

        assert await eventually(result, "the job has a result") == 42
