"""The command line as users type it: exit codes, one-line errors, and what it starts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from celeriac.cli import EXIT_CODES, ExitCode
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.launch.resources.file_lock import FileLock
from celeriac.launch.resources.ports import free_port
from tests.support.running import running
from tests.support.waiting import eventually
from tests.support.warm import run_celeriac

CELERIAC = ["-m", "celeriac"]
#: In Typer's words: those of its own, or those of the Click that older versions use.
AT_LEAST_1 = "(greater than or equal to 1|in the range 1<=x)"


@pytest.fixture
def taken_port() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def accepts(host: str, port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection((host, port)):
        return True
    return False


def _celeriac(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CELERIAC_")}
    return run_celeriac(*arguments, cwd=cwd, environment={**clean, **variables})


def _assert_refused(done: subprocess.CompletedProcess[str], code: ExitCode, message: str) -> None:
    assert done.returncode == code, done.stderr
    assert re.fullmatch(rf"celeriac: error: [^\n]*{message}[^\n]*\n", done.stderr), done.stderr
    assert done.stdout == ""


def test_help_names_every_exit_code(tmp_path: Path) -> None:
    done = _celeriac("--help", cwd=tmp_path)
    assert done.returncode == ExitCode.OK
    assert all(f" {code.value} " in EXIT_CODES for code in ExitCode)
    assert "Exit codes:" in done.stdout


def test_version(tmp_path: Path) -> None:
    done = _celeriac("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (ExitCode.OK, "celeriac")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--no-such-option"], "No such option:? '?--no-such-option"),
        (["no-such-command"], "No such command 'no-such-command'"),
        *[([command, "--shards", "0"], f"--shards': .*{AT_LEAST_1}") for command in ("worker", "up")],
        (["worker", "--shards", "abc"], "--shards': .*valid integer"),
        (["worker", "-B"], "-B cannot be used here: .*celeriac beat"),
        (["worker", "-EB"], "-B cannot be used here"),
        (["worker", "--detach"], "-D cannot be used here"),
        (["worker", "--purge"], "--purge cannot be used here"),
        (["worker", "--shards", "2", "--pidfile=x"], "--pidfile x: each of 2 shards needs its own"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    _assert_refused(_celeriac(*arguments, cwd=tmp_path), ExitCode.USAGE, message)


def test_no_command_at_all_shows_the_help(tmp_path: Path) -> None:
    done = _celeriac(cwd=tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert "Exit codes:" in done.stdout + done.stderr


def test_a_wrong_number_of_shards_in_the_settings_is_named(tmp_path: Path) -> None:
    done = _celeriac("worker", cwd=tmp_path, CELERIAC_WORKER_SHARDS="none")
    _assert_refused(done, ExitCode.CONFIGURATION, "CELERIAC_WORKER_SHARDS=none: ")


def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    done = _celeriac("up", cwd=tmp_path, CELERIAC_BROKER_URL="amqp://:hidden@host")
    _assert_refused(done, ExitCode.CONFIGURATION, r"CELERIAC_BROKER_URL=\*\*\*")


@pytest.mark.parametrize("command", ["up", "api", "flower"])
def test_nothing_is_opened_to_other_machines_without_keys(tmp_path: Path, command: str) -> None:
    _assert_refused(
        _celeriac(command, "--host", "0.0.0.0", cwd=tmp_path), ExitCode.CONFIGURATION, r"CELERIAC_HOST=0\.0\.0\.0"
    )


@pytest.mark.parametrize(
    ("command", "option"),
    [("up", "--port"), ("up", "--flower-port"), ("api", "--port"), ("flower", "--flower-port")],
)
def test_a_taken_port_is_named(tmp_path: Path, taken_port: int, command: str, option: str) -> None:
    others = ["--port", str(free_port())] if (command, option) == ("up", "--flower-port") else []
    done = _celeriac(command, *others, option, str(taken_port), cwd=tmp_path)
    _assert_refused(done, ExitCode.BUSY, rf"port {taken_port} is in use; choose another with {option} N, or {option} 0")


def test_one_port_for_two_servers_is_named(tmp_path: Path) -> None:
    port = str(free_port())
    done = _celeriac("up", "--port", port, "--flower-port", port, cwd=tmp_path)
    _assert_refused(done, ExitCode.BUSY, rf"port {port} is in use; choose another with --flower-port N")


def test_a_data_directory_that_is_in_use_names_the_pid(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        lock.acquire()
        done = _celeriac("up", "--data-dir", str(tmp_path), "--port", "0", "--flower-port", "0", cwd=tmp_path)
    _assert_refused(done, ExitCode.BUSY, rf"pid {os.getpid()}; stop it, or choose another directory with --data-dir")


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _celeriac("up", "--data-dir", str(tmp_path / "file"), cwd=tmp_path)
    _assert_refused(done, ExitCode.CONFIGURATION, "CELERIAC_DATA_DIR")


async def test_a_worker_alone_takes_celerys_options(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path, append_only=False):
        command = [*CELERIAC, "worker", "--data-dir", str(tmp_path), "--shards", "1", "-n", "named@%h"]
        async with running(command) as worker:
            await worker.printed(r"named@\S+ ready\.", within=60)
            worker.signal(signal.SIGTERM)
            assert await worker.ended() == 0


@pytest.mark.slow
async def test_beat_alone_keeps_its_schedule_in_the_data_directory(tmp_path: Path) -> None:
    async with (
        embedded_valkey(tmp_path, append_only=False),
        running([*CELERIAC, "beat", "--data-dir", str(tmp_path)]) as beat,
    ):
        await beat.printed("beat: Starting", within=60)
        assert not list(Path.cwd().glob("celerybeat-schedule*"))


async def test_flower_started_by_celery_listens_on_loopback_only(tmp_path: Path) -> None:
    """Flower's own default is every interface; `flowerconfig.py` in the working directory changes that."""
    port = free_port()
    async with embedded_valkey(tmp_path, append_only=False) as url:
        command = ["-m", "celery", "-A", "src.celery_tasks.c_app", "flower", f"--port={port}"]
        async with running(command, environment={"CELERIAC_BROKER_URL": url}) as flower:
            await flower.printed(rf"Visit me at http://127\.0\.0\.1:{port}", within=60)
            await eventually(lambda: accepts("127.0.0.1", port), "Flower listens, a moment after it says so")
            assert not accepts("127.0.0.2", port)
