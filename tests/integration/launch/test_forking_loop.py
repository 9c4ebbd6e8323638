"""The event loop of `celeriac worker`, which forks the shards: what a fork must not do with the supervisor's things."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workers import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="forks are for Linux")

#: Forks twice. A task of the supervisor has a `finally` clause, a socket, and a name to look up in a thread.
PROGRAM = """
import asyncio, gc, json, os, socket, sys, threading

from celeriac.launch.worker.forking_loop import ForkingLoop

log = open(sys.argv[1], "a", buffering=1)
loop = ForkingLoop()
threads = 0


def count():
    global threads
    threads = threading.active_count()


os.register_at_fork(before=count)


async def watch(ours):
    try:
        await asyncio.get_running_loop().sock_recv(ours, 1)
    finally:
        log.write(json.dumps(["cleaned up", os.getpid()]) + "\\n")


async def supervise():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    watching = asyncio.create_task(watch(ours))
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    for number in (3, 4):
        read_end, write_end = os.pipe()
        process = await loop.fork([str(number)], write_end, None)
        os.close(write_end)
        told = os.read(read_end, 1000)  # to its end: no other process has the pipe
        log.write(json.dumps(["ended", await process.wait(), *json.loads(told)]) + "\\n")
    theirs.send(b"x")
    await watching


fork = loop.run(supervise())
if fork is None:
    sys.exit()
files = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
try:
    asyncio.get_running_loop()
    is_running = True
except RuntimeError:
    is_running = False
asyncio.run(asyncio.sleep(0))
gc.collect()
connections = [file for file in files if "socket:" in file or "anon_inode:" in file]
told = [fork.arguments, is_running, threads, connections, os.getpgid(0) == os.getpid()]
os.write(fork.report_to, json.dumps(told).encode())
sys.exit(int(fork.arguments[0]))
"""

#: Forks in trouble, and once more without it. Writes down how each fork ended, and which process says so.
TROUBLE = """
import asyncio, json, os, resource, signal, sys

from celeriac.launch.worker.forking_loop import ForkingLoop

log, trouble = open(sys.argv[1], "a", buffering=1), sys.argv[2]
loop = ForkingLoop()
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
if trouble == "SIGCHLD is ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
elif trouble == "nobody reads the output":
    read_end, write_end = os.pipe()
    sys.stdout = os.fdopen(write_end, "w")
    os.close(read_end)
    print("printed, and not flushed")


async def supervise():
    for number in (3, 4):
        if number == 3 and trouble == "no descriptor is left":
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))
        try:
            ended = await (await loop.fork([str(number)], 0, None)).wait()
        except OSError as error:
            ended = error.strerror
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        log.write(json.dumps([os.getpid(), ended]) + "\\n")


fork = loop.run(supervise())
os._exit(0 if fork is None else int(fork.arguments[0]))
"""


#: Is handed the child of its fork, as the first process of a container is, and ends when nothing of that is left.
ADOPTER = """
import asyncio, ctypes, os, pathlib, sys

from celeriac.launch.worker.forking_loop import ForkingLoop

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
loop = ForkingLoop()


async def supervise():
    alive, write_end = os.pipe()
    process = await loop.fork([], write_end, None)
    os.close(write_end)
    code = await process.wait()
    orphan = children.read_text().split()
    print(code, len(orphan), os.read(alive, 1), flush=True)
    os.close(alive)
    async with asyncio.timeout(60):
        while children.read_text():
            await asyncio.sleep(0.01)


fork = loop.run(supervise())
if fork is not None:
    if os.fork() == 0:
        os.write(fork.report_to, b"x")
        while True:
            try:
                os.write(fork.report_to, b"x")  # until nobody reads
            except BrokenPipeError:
                os._exit(0)
    os._exit(3)
"""


def test_orphans_that_the_kernel_hands_to_the_supervisor_are_reaped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ADOPTER], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3 1 b'x'\n"), done.stderr


@pytest.mark.parametrize(
    ("trouble", "first"),
    [("no descriptor is left", "Too many open files"), ("SIGCHLD is ignored", 3), ("nobody reads the output", 3)],
)
def test_a_fork_in_trouble_leaves_one_supervisor_which_goes_on(tmp_path: Path, trouble: str, first: object) -> None:
    log = tmp_path / "log"
    program = subprocess.Popen([sys.executable, "-c", TROUBLE, str(log), trouble], cwd=ROOT)
    try:
        assert program.wait(60) == 0
    finally:
        program.kill()
        program.wait()
    assert [json.loads(line) for line in log.read_text().splitlines()] == [[program.pid, first], [program.pid, 4]]


def test_a_fork_runs_no_task_of_the_supervisor_and_has_none_of_its_connections(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(log)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *ended, cleaned = [json.loads(line) for line in log.read_text().splitlines()]
    assert ended == [["ended", number, [str(number)], False, 1, [], True] for number in (3, 4)]
    assert cleaned[0] == "cleaned up"
