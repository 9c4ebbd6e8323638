"""A process may end as soon as it has its answer from the storage."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

#: In the unlucky order: an answer wakes the loop, and the thread that brought it goes on while the interpreter ends.
_PROGRAM = """
import asyncio, sys, threading, time
from celeriac.storage.location import Location

class SlowlyTold(asyncio.SelectorEventLoop):
    def call_soon_threadsafe(self, *arguments, **options):
        try:
            return super().call_soon_threadsafe(*arguments, **options)
        finally:
            if threading.current_thread().name.startswith(("Dummy", "celeriac-storage")):  # a native one, or ours
                time.sleep(0.3)

class SlowlyEnded:
    def __del__(self, sleep=time.sleep):
        sleep(0.6)

sys.slowly_ended = SlowlyEnded()  # deleted when no thread may run any more

async def use(location):
    writer = location.writer("folder/large")
    await writer.write(b"0123456789")
    await writer.close()
    await location.put("folder/small", b"small")
    assert await location.read("folder/small") == b"small"
    assert await location.read("folder/nothing") is None
    assert b"".join([piece async for piece in location.stream("folder/large", 2, 5)]) == b"234"
    await location.delete(["folder/small"])
    assert [(found.path, found.size) async for found in location.list("folder/")] == [("folder/large", 10)]
    return await location.size("folder/large")

with asyncio.Runner(loop_factory=SlowlyTold) as runner:
    print(runner.run(use(Location(sys.argv[1]))))
"""


def test_a_program_that_ends_right_after_its_last_call_ends_well(storage_url: str) -> None:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM, storage_url], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "10\n", "")


_IMPATIENT = """
import asyncio, sys
from celeriac.storage import location

location._ANSWER_S = 1.0
asyncio.run(location.Location(sys.argv[1]).read("folder/small"))
"""


def test_a_program_ends_soon_after_a_bucket_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        program = [sys.executable, "-c", _IMPATIENT, "s3://bucket/celeriac"]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, "it did not answer within 1 s" in ended.stderr) == (1, True), ended.stderr


_HUNG = """
import asyncio, socket, sys
from celeriac.storage import threads
from celeriac.storage.location import Location

threads._LAST_CALLS_S = 1.0

async def give_up(server):
    writing = asyncio.create_task(Location(sys.argv[1]).writer("folder/large").write(bytes(9_000_000)))
    connection, _ = await asyncio.to_thread(server.accept)
    writing.cancel()
    await asyncio.wait([writing])
    print("given up")
    return connection

server = socket.socket(fileno=int(sys.argv[2]))
connection = asyncio.run(give_up(server))
"""


def test_a_program_ends_soon_though_a_transfer_that_nobody_awaits_any_more_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        program = [sys.executable, "-c", _HUNG, "s3://bucket/celeriac", str(silent.fileno())]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=40, pass_fds=[silent.fileno()])
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "given up\n", "")
