import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.launch.resources.file_lock import FileLock
from tests.support.waiting import eventually


def test_a_held_lock_is_refused_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock(path) as first:
        assert first.acquire()
        second = FileLock(path)
        assert not second.acquire()
        assert second.holder() == os.getpid()
    assert second.acquire()
    second.release()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        lock.acquire()
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


async def test_it_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, signal; from celeriac.launch.resources.file_lock import FileLock;"
        "lock = FileLock(pathlib.Path(sys.argv[1])); print(lock.acquire(), flush=True); signal.pause()"
    )
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert not FileLock(path).acquire()
        holder.send_signal(signal.SIGKILL)
    with FileLock(path) as lock:
        assert await lock.acquire_within(5)


async def test_waiting_ends_at_the_deadline(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as first:
        first.acquire()
        assert not await FileLock(tmp_path / "lock").acquire_within(0.05)


async def test_a_child_that_inherits_it_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(path)
    lock.acquire()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as child:
        lock.release()
        assert not FileLock(path).acquire()
        child.communicate()
    retaken = FileLock(path)
    await eventually(retaken.acquire, "the lock is free")
    retaken.release()


def test_there_is_no_holder_before_the_first(tmp_path: Path) -> None:
    assert FileLock(tmp_path / "lock").holder() is None


def test_a_lock_that_is_not_held_has_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not held"):
        FileLock(tmp_path / "lock").fileno()
