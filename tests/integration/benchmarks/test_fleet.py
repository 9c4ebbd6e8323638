"""Workers and producers of a benchmark: real processes, and what is said when they fail."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers.workload import RECORD
from benchmarks.support.environments import Environments
from benchmarks.support.fleet import Fleet, RunFailed
from benchmarks.support.procfs import cpu_seconds, holders, is_alive, pss_mib, tree
from benchmarks.support.records import new_records
from benchmarks.support.server import fresh_server
from benchmarks.support.system import Argv, System
from tests.support.waiting import wait_until

BROKER = "redis://127.0.0.1:1/0"


def _system(program: str) -> System:
    def workers(load: str, processes: int) -> list[Argv]:
        return [("-c", program)] * processes

    return System(name="tried", module="floor", settings="", workers=workers)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(Environments())


@pytest.mark.slow
async def test_a_worker_that_ends_is_a_failure_that_shows_its_log(fleet: Fleet) -> None:
    system = _system("raise SystemExit('no such broker')")
    failure = pytest.raises(RunFailed, match=r"(?s)tried: a worker has ended, after 0 records.*no such broker")
    with new_records() as records, failure:
        async with fleet.workers(system, "noop", BROKER, records, processes=1) as workers:
            await workers.wait_for(1, within=60)


async def test_too_few_jobs_in_time_are_a_failure(fleet: Fleet) -> None:
    with new_records() as records:
        records.path.write_bytes(RECORD.pack(0, 1))
        with pytest.raises(RunFailed, match=r"tried: no 2 jobs within 0.1 s, after 1 records"):
            async with fleet.workers(_system("input()"), "noop", BROKER, records, processes=0) as workers:
                await workers.wait_for(2, within=0.1)


@pytest.mark.slow
async def test_the_block_ends_all_processes_and_their_children(fleet: Fleet) -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with new_records() as records:
        async with fleet.workers(_system(program), "noop", BROKER, records, processes=2) as workers:
            await workers.wait_until(lambda: len(workers.pids()) == 4, "children", within=60)
            pids = workers.pids()
            assert workers.roots() < pids
    wait_until(lambda: not any(map(is_alive, pids)), "the end of all processes")


async def test_a_producer_that_fails_shows_what_it_printed(fleet: Fleet) -> None:
    with pytest.raises(RunFailed, match=r"(?s)tried: enqueue ended with 1.*ConnectionError"):
        await fleet.produce(_system(""), "enqueue", "noop", 1, BROKER)


@pytest.mark.slow
async def test_a_queue_is_the_same_in_each_fresh_server(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    dump = tmp_path_factory.mktemp("dump") / "queue.rdb"
    floor = dataclasses.replace(
        _system(""), workers=lambda _, processes: [("-m", "benchmarks.peers.floor")] * processes
    )
    async with fresh_server() as server:
        await fleet.produce(floor, "fill", "noop", 700, server.url)
        await server.save(dump)
    for _ in range(2):
        with new_records() as records:
            async with (
                fresh_server(dump) as server,
                fleet.workers(floor, "noop", server.url, records, processes=2) as workers,
            ):
                await workers.wait_for(700, within=60)
            records.check(700)


def test_the_holder_of_a_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    program = "import sys; file = open(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert holders([os.getpid(), child.pid], file) == {child.pid}
        child.kill()


def test_a_tree_is_a_process_with_its_children_and_theirs() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= tree(os.getpid())
        assert tree(child.pid) == {child.pid}
        assert is_alive(child.pid)
        assert pss_mib([child.pid]) > 0
        assert cpu_seconds([os.getpid()]) > 0
        child.kill()
    assert not is_alive(child.pid)
    assert cpu_seconds([child.pid]) == 0
