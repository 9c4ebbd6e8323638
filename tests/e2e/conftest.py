"""A whole stack, as a process of its own, for tests that share it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import command_lines
from tests.support.waiting import wait_until
from tests.support.workers import ROOT

STARTS = 120.0  # seconds; on a machine that has other work to do as well


class Stack:
    """`celeriac up` in `directory`, with its output in a file there."""

    def __init__(self, directory: Path, options: list[str], variables: dict[str, str]) -> None:
        self.directory = directory
        self._data = directory / "data"
        command = [sys.executable, "-m", "celeriac", "up", "--port", "0", "--flower-port", "0", *options]
        with (directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self._data)],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def wait_until_ready(self) -> None:
        def look() -> bool:
            assert self._process.poll() is None, self.log
            return (self._data / "stack.json").exists()

        wait_until(look, f"the stack is ready:\n{self.log}", within=STARTS)

    def address(self, name: str) -> str:
        """Where `api` or `flower` is."""
        return str(json.loads((self._data / "stack.json").read_text())[name])

    def pid(self, part: str) -> int:
        """The child with `part` in its command line."""
        lines = command_lines()
        return next(pid for pid in _children_of(self._process.pid) if part in lines.get(pid, ""))

    def worker(self) -> int:
        """The process that runs jobs."""
        return _children_of(self.pid("fork_server"))[0]

    def kill(self, part: str) -> None:
        """kill -9."""
        os.kill(self.pid(part), signal.SIGKILL)

    def hold_restarts(self) -> None:
        """What dies from now on stays dead."""
        self._process.send_signal(signal.SIGSTOP)

    def resume_restarts(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def notes(self, name: str) -> list[dict[str, Any]]:
        """What jobs have written down under `name`."""
        file = self.directory / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def stop(self) -> int:
        self.resume_restarts()
        self._process.terminate()
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the module's `STACK_OPTIONS` and `STACK_VARIABLES`. A failure shows the end of its log."""
    directory = tmp_path_factory.mktemp("stack")
    variables = {"SIX_REASONS_FOLDER": str(directory), **request.module.STACK_VARIABLES}
    stack = Stack(directory, request.module.STACK_OPTIONS, variables)
    try:
        stack.wait_until_ready()
        yield stack
        assert stack.stop() == 0, stack.log
    finally:
        stack.stop()
