"""Does memory stay flat when a mailing grows, and does each mail arrive once although workers are killed?

A CSV file is uploaded to the HTTP API, as clients do it, and one worker process sends to all its rows. The server that
takes the mails is a process of its own, which counts the mails of each recipient. In the large mailing, the process
that runs the jobs is killed (SIGKILL) three times; its supervisor starts another. A mail that was on its way at that
moment may come twice, with one Message-ID: at most one for each chunk that was being sent.

Memory is the highest seen, of all processes of the API or of the worker. *PSS* counts shared pages in proportion.
"""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.harness import Bench
from benchmarks.support.environments import ROOT
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.place import Place, folder_for
from benchmarks.support.procfs import pss_mib, rss_mib, tree
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import Server, fresh_server

_FEW, _FEW_QUICK = 1_000, 200
_MANY, _MANY_QUICK = 100_000, 2_000
#: The parts of the mails after which the worker is killed.
_KILLS = (0.2, 0.5, 0.8)
#: The chunks that a worker process runs at a time, and so the mails that may come twice when it is killed.
_AT_A_TIME = 16
_DEADLINE_S = 1800.0
_LOOK_S = 0.5
_GOES_ON = ("scheduled", "queued", "running", "retrying")
_FOLDER_BYTES = 200_000_000
_MAILING = {
    "subject": "Your order {{ order }}, {{ name }}",
    "text": "Dear {{ name }},\n\nyour order {{ order }} is on its way.\n",
    "html": "<p>Dear <b>{{ name }}</b>,</p><p>your order {{ order }} is on its way.</p>",
}


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    few, many = options.scaled(_FEW, _FEW_QUICK), options.scaled(_MANY, _MANY_QUICK)
    plans = {f"{few:,} recipients": (few, ()), f"{many:,} recipients, worker killed 3 times": (many, _KILLS)}
    bench = Bench("mail_scale", "a mailing from an uploaded CSV file", "mails/s", better="higher")
    return await rounds(bench, options, list(plans), lambda row: _measure(*plans[row]))


async def _measure(recipients: int, kills: tuple[float, ...]) -> Sample:
    with folder_for(_FOLDER_BYTES) as folder:
        file = folder / "recipients.csv"
        _write(file, recipients)
        async with fresh_server() as server, _Sink.running() as sink, _stack(folder, server, sink) as stack:
            await stack.warm_up()
            began = time.monotonic()
            await stack.send(file, [int(part * recipients) for part in kills])
            seconds = time.monotonic() - began
            taken, reached = await sink.counts()
    duplicates, missing = taken - reached, recipients - reached
    if missing or duplicates > len(kills) * _AT_A_TIME:
        raise WrongRun(f"of {recipients} mails, {missing} are missing, and {duplicates} came twice")
    more = {"seconds": seconds, "twice": duplicates, "missing": missing, **stack.peaks}
    return Sample(recipients / seconds, more)


def _write(file: Path, recipients: int) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["email", "name", "order"])
        for number in range(recipients):
            writer.writerow([f"customer{number}@celeriac.example", f"Customer {number}", 1000 + number])


@dataclass
class _Sink:
    """The mail server."""

    process: asyncio.subprocess.Process
    port: int

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncGenerator[_Sink]:
        pipe = asyncio.subprocess.PIPE
        argv = (sys.executable, "-m", "benchmarks.support.mail_sink")
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, cwd=ROOT)
        assert process.stdout is not None, "it has a pipe"
        try:
            yield cls(process, int(await process.stdout.readline()))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def counts(self) -> tuple[int, int]:
        """End the server. Return how many mails it took, and of how many recipients."""
        told, _ = await self.process.communicate(b"")  # it ends with its input
        taken, reached = map(int, told.split())
        return taken, reached


@dataclass
class _Stack:
    """The API and a worker, each with its children."""

    api: Place
    worker: Place
    broker: int
    peaks: dict[str, float] = field(default_factory=dict[str, float])

    async def warm_up(self) -> None:
        """Run a job, so that everything is loaded."""
        async with self._client() as client:
            job = (await client.post("/jobs/celeriac.echo", json={"value": 1})).raise_for_status().json()
            await self._ended(client, job)

    async def send(self, file: Path, kills: list[int]) -> None:
        """Send a mailing, and kill the worker's largest process when so many recipients are done."""
        async with self._client() as client:
            uploading = asyncio.create_task(_uploaded(client, file))
            while not uploading.done():
                await asyncio.sleep(_LOOK_S)
                self._look()
            await self._ended(client, await uploading, kills)

    async def _ended(self, client: httpx2.AsyncClient, job: dict[str, Any], kills: Sequence[int] = ()) -> None:
        give_up, to_come = time.monotonic() + _DEADLINE_S, list(kills)
        while job["state"] in _GOES_ON:
            if time.monotonic() > give_up:
                raise RunFailed(f"after {_DEADLINE_S:g} s, the job is {job}")
            await asyncio.sleep(_LOOK_S)
            self._look()
            job = (await client.get(f"/jobs/{job['id']}")).raise_for_status().json()
            if to_come and job["progress"] and job["progress"]["done"] >= to_come[0]:
                to_come.pop(0)
                os.kill(self._runner(), signal.SIGKILL)
        if job["state"] != "succeeded" or to_come:
            raise RunFailed(f"the job ended as {job}, with {len(to_come)} kills to come")

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.api.port}", timeout=_DEADLINE_S)

    def _runner(self) -> int:
        """Return the id of the process that runs jobs."""
        children = tree(self.worker.processes[0].pid) - {self.worker.processes[0].pid}
        return max(children, key=lambda pid: rss_mib([pid]))

    def _look(self) -> None:
        for name, pids in (("API", self.api.pids()), ("worker", self.worker.pids()), ("broker", {self.broker})):
            for kind, read in (("PSS", pss_mib), ("RSS", rss_mib)):
                what = f"{name} {kind} MiB"
                self.peaks[what] = max(self.peaks.get(what, 0.0), read(pids))


async def _uploaded(client: httpx2.AsyncClient, file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        answer = await client.post("/email/mailings", data=_MAILING, files={"recipients": (file.name, stream)})
    if answer.status_code != 202:
        raise RunFailed(f"the API answered {answer.status_code}: {answer.text}")
    return answer.json()


@asynccontextmanager
async def _stack(folder: Path, server: Server, sink: _Sink) -> AsyncGenerator[_Stack]:
    variables = {
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_DATA_DIR": str(folder / "data"),
        "CELERIAC_SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
        "CELERIAC_MAIL_FROM": "shop@celeriac.example",
        "CELERIAC_WORKER_CONCURRENCY": str(_AT_A_TIME),
    }
    api, worker = Place(folder, server.url), Place(folder, server.url)
    try:
        await api.start("-m", "celeriac", "api", "--port", str(api.port), "--log-level", "warning", **variables)
        await api.ready("/health/ready")
        await worker.start("-m", "celeriac", "worker", "--shards", "1", "--loglevel", "warning", **variables)
        yield _Stack(api, worker, server.pid)
    finally:
        for place in (worker, api):
            await place.kill()
