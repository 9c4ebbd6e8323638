"""The commands that Celery's users know, letter by letter, from the root of the repository."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from celeriac import Celeriac, JobHandle, builtin, load_settings
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.launch.resources.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]

WORKER = "celery -A src.celery_tasks.c_app worker --loglevel=info --pool=solo"
BEAT = "celery -A src.celery_tasks.c_app beat"
FLOWER = "celery -A src.celery_tasks.c_app flower"


class Command:
    """A command that runs, and what it has printed."""

    def __init__(self, line: str, log: Path, **variables: str) -> None:
        program, *arguments = shlex.split(line)
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name(program)), *arguments],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        def said() -> bool:
            assert self._process.poll() is None, f"it ended:\n{self.printed}"
            return text in self.printed

        wait_until(said, f"{text!r} is printed", within=60)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


Start = Callable[..., Command]


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Starts commands that know nothing but the directory of the embedded broker, and find it by that."""
    with ExitStack() as started:

        def start_one(line: str, **variables: str) -> Command:
            log = tmp_path / f"{line.split()[3]}.log"
            command = Command(line, log, CELERIAC_DATA_DIR=str(tmp_path), PYTHONUNBUFFERED="1", **variables)
            started.callback(command.kill)
            return command

        yield start_one


@asynccontextmanager
async def embedded_application(tmp_path: Path) -> AsyncGenerator[Celeriac]:
    """A client of the embedded broker in `tmp_path`."""
    async with embedded_valkey(tmp_path):
        app = Celeriac("client", settings=load_settings(data_dir=tmp_path))
        builtin.register(app)
        try:
            yield app
        finally:
            await app.client.aclose()
            app.close()


async def test_the_worker_is_ready_runs_async_and_sync_jobs_and_ends_with_0(tmp_path: Path, start: Start) -> None:
    async with embedded_application(tmp_path) as app:
        worker = start(WORKER)
        await asyncio.to_thread(worker.wait_for, "ready.")
        for task in ("celeriac.echo", "celeriac.echo_blocking"):
            job_id = await asyncio.to_thread(lambda name=task: app.send_task(name, kwargs={"value": name}).id)
            assert await JobHandle[str](app.client, app.specs[task], job_id).result(timeout=60) == task
        assert await asyncio.to_thread(worker.terminate) == 0, worker.printed


@pytest.mark.slow
async def test_beat_runs_and_ends_with_0(tmp_path: Path, start: Start) -> None:
    async with embedded_application(tmp_path):
        beat = start(f"{BEAT} --schedule {tmp_path / 'schedule'} --loglevel=debug")
        await asyncio.to_thread(beat.wait_for, "beat: Waking up")
        assert await asyncio.to_thread(beat.terminate) == 0, beat.printed


@pytest.mark.slow
async def test_flower_wants_the_password_and_shows_what_has_run(tmp_path: Path, start: Start) -> None:
    port = free_port()
    address, ada = f"http://127.0.0.1:{port}", "Basic YWRhOmxvdmVsYWNl"
    async with embedded_application(tmp_path) as app:
        flower = start(f"{FLOWER} --port={port}", CELERIAC_FLOWER_AUTH="ada:lovelace")
        await asyncio.to_thread(flower.wait_for, address)  # it listens on this machine only
        worker = start(WORKER)
        await asyncio.to_thread(worker.wait_for, "ready.")
        assert await asyncio.to_thread(read_page, f"{address}/healthcheck", "") == "OK"
        with pytest.raises(HTTPError, match="401"):
            await asyncio.to_thread(read_page, f"{address}/api/tasks", "Basic YWRhOndyb25n")
        done = await asyncio.to_thread(lambda: app.send_task("celeriac.echo", kwargs={"value": 1}).id)
        failed = await asyncio.to_thread(lambda: app.send_task("celeriac.echo", kwargs={"fail": "no"}).id)

        def states() -> dict[str, str]:
            tasks = json.loads(read_page(f"{address}/api/tasks", ada))
            return {job_id: task["state"] for job_id, task in tasks.items()}

        expected = {done: "SUCCESS", failed: "FAILURE"}
        await asyncio.to_thread(lambda: wait_until(lambda: states() == expected, "Flower shows both", within=60))
        late = await asyncio.to_thread(lambda: app.send_task("celeriac.echo", countdown=600).id)

        def scheduled() -> list[str]:
            names = json.loads(read_page(f"{address}/api/workers?status=1", ada))
            pages = [read_page(f"{address}/api/workers?refresh=1&workername={name}", ada) for name in names]
            known = [worker for page in pages for worker in json.loads(page).values()]
            return [entry["request"]["id"] for worker in known for entry in worker.get("scheduled", [])]

        await asyncio.to_thread(lambda: wait_until(lambda: scheduled() == [late], "Flower shows what waits", within=60))
        assert await asyncio.to_thread(worker.terminate) == 0, worker.printed
        await asyncio.to_thread(flower.terminate)


def read_page(url: str, authorization: str) -> str:
    with urlopen(Request(url, headers={"Authorization": authorization}), timeout=10) as response:
        return str(response.read().decode())
