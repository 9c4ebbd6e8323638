"""The stack as a user starts it: `celeriac up`, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from celeriac.core.errors import ResourceBusy
from celeriac.demo import DemoFailed
from celeriac.launch.resources.ports import claim

#: Seconds. The stack itself gives up when a part of it cannot start; this is for a machine with other work to do.
_START_TIMEOUT = 180.0
_STOP_TIMEOUT = 30.0


@dataclass(frozen=True)
class Stack:
    """Where the stack answers."""

    api: str
    flower: str
    log: Path

    def addresses(self) -> str:
        """What to open in a browser."""
        places = {"API docs": f"{self.api}/docs", "jobs": f"{self.api}/jobs", "Flower": self.flower, "log": self.log}
        return "\n".join(f"  {name:<10}{place}" for name, place in places.items())

    def tail(self) -> str:
        """What it printed last."""
        return _tail(self.log)


@dataclass(frozen=True)
class Ports:
    """Where API and Flower are to listen; None takes the usual port, or any free one if something else has it."""

    api: int | None = None
    flower: int | None = None

    def options(self) -> list[str]:
        api = _usual_or_free(8000) if self.api is None else str(self.api)
        flower = _usual_or_free(5555) if self.flower is None else str(self.flower)
        return ["--port", api, "--flower-port", flower]


@asynccontextmanager
async def running_stack(
    directory: Path, variables: Mapping[str, str], ports: Ports, console: Console
) -> AsyncGenerator[Stack]:
    """Start everything in `directory`, with these variables in its environment, and stop it at the end.

    Raises:
        DemoFailed: it did not become ready.
    """
    began = time.monotonic()
    log = directory / "stack.log"
    data = directory / "data"
    command = [str(Path(sys.executable).with_name("celeriac")), "up", "--data-dir", str(data), *ports.options()]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **variables}
        )
        try:
            with console.status("starting Valkey, API, worker, beat and Flower …"):
                stack = await _ready(process, data / "stack.json", log)
            console.print(f"Valkey, API, worker, beat and Flower are ready after {time.monotonic() - began:.1f} s")
            yield stack
        finally:
            await _stop(process, console)


async def _ready(process: asyncio.subprocess.Process, address_file: Path, log: Path) -> Stack:
    give_up = time.monotonic() + _START_TIMEOUT
    while not address_file.exists():
        if process.returncode is not None or time.monotonic() > give_up:
            raise DemoFailed(f"the stack did not become ready\n{_tail(log)}")
        await asyncio.sleep(0.05)
    addresses = json.loads(address_file.read_text())
    return Stack(addresses["api"], addresses["flower"], log)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-20:]
    return "\n".join(["the log of the stack ends with", *lines])


async def _stop(process: asyncio.subprocess.Process, console: Console) -> None:
    if process.returncode is not None:
        return
    with console.status("stopping …"):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()


def _usual_or_free(port: int) -> str:
    """The port everyone expects, or 0 (any free one) if something else has it."""
    try:
        return str(claim("127.0.0.1", port, "--port"))
    except ResourceBusy:
        return "0"
