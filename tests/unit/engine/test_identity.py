"""Names of worker processes, and whether the process of a name has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.engine.identity import has_ended, new_worker_name, pid_of
from tests.support.waiting import wait_until


def _name_of(pid: int) -> str:
    machine, _, rest = new_worker_name().rsplit("-", 2)
    return f"{machine}-{pid}-{rest}"


def test_a_process_has_ended_once_nobody_waits_for_it_any_more() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        name = _name_of(process.pid)
        assert pid_of(name) == process.pid
        assert not has_ended(name)
    assert has_ended(name)


@pytest.mark.skipif(sys.platform != "linux" or not Path("/proc/self/stat").exists(), reason="asks /proc")
def test_a_process_has_ended_even_if_its_parent_takes_no_notice() -> None:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    wait_until(lambda: has_ended(_name_of(process.pid)), "it has ended")
    assert process.returncode is None, "and was not waited for"
    process.wait()


def test_nothing_is_known_of_a_process_on_another_machine() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    name = f"elsewhere-{process.pid}-12345678"
    assert pid_of(name) is None
    assert not has_ended(name)
