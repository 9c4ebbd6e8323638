"""A stack of small programs under the real supervisor, to be run as a process of its own.

    python -m tests.support.small_stack DATA_DIR GRACE [NAME=PYTHON]...

It brings an embedded Valkey and `alpha` and `beta`, which print `up PID`, and `down` when they are stopped.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from celeriac.core.errors import CeleriacError
from celeriac.launch.broker.embedded import EmbeddedValkey
from celeriac.launch.supervision.child_process import ChildProcess, spawn
from celeriac.launch.supervision.child_supervisor import Child, RestartPolicy
from celeriac.launch.supervision.log_output import LogWriter
from celeriac.launch.supervision.probes import LogProbe
from celeriac.launch.supervision.supervisor import Supervisor

PROGRAM = """
import os, signal, sys
def stop(*_):
    print("down", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""

#: Short enough for a test, long enough to tell the delays apart.
POLICY = RestartPolicy(first=0.05, longest=0.4, stable=5.0)


async def _spawn(source: str, output: int) -> ChildProcess:
    return await spawn([sys.executable, "-c", source], output=output)


def _child(name: str, source: str, grace: float) -> Child:
    return Child(name=name, spawn=partial(_spawn, source), probe=lambda: LogProbe("up"), grace=grace)


async def main(data_dir: Path, grace: float, programs: dict[str, str]) -> None:
    broker = EmbeddedValkey(data_dir)
    await broker.prepare()
    children = [_child(name, source, grace) for name, source in programs.items()]
    children.append(Child(name="broker", spawn=broker.spawn, probe=broker.probe, on_ready=broker.publish, stage=0))
    supervisor = Supervisor(children, LogWriter(sys.stdout, [child.name for child in children]), POLICY)
    await supervisor.run(lambda: supervisor.say("ready"))
    broker.withdraw()


if __name__ == "__main__":
    _, directory, seconds, *overrides = sys.argv
    chosen = {"alpha": PROGRAM, "beta": PROGRAM}
    chosen.update(argument.split("=", 1) for argument in overrides)  # type: ignore[misc]
    try:
        asyncio.run(main(Path(directory), float(seconds), chosen))
    except CeleriacError as error:
        sys.exit(f"failed: {error}")
