"""How fast are large files taken in, sent and copied, and how much memory does that take?

The floor is a FastAPI application of a few lines under plain uvicorn. It writes a body to the disk as it comes, keeps
FastAPI's `UploadFile` of a form, answers with `FileResponse`, and copies a file in a thread. It checks nothing.
Celeriac runs as `celeriac api` and `celeriac worker`. The client sends with `sendfile`, and counts what it gets.

Each run has processes of its own, which have had a small file before. *Peak* is the highest resident memory of each
process with the large file, above what it had before. *CPU s* is the processes' time, without the client's.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from benchmarks.harness import Bench
from benchmarks.peers import celeriac_files
from benchmarks.support.options import Options
from benchmarks.support.place import Place, celeriac_api, celeriac_worker, floor, folder_for
from benchmarks.support.procfs import cpu_seconds, forget_peak, peak_mib, rss_mib
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds
from celeriac.core.ids import new_id

T = TypeVar("T")

_QUICK = 20_000_000
#: Of the file that processes have first, so that everything is loaded that they need.
_SMALL = 3_000_000
_PIECE = 1_048_576
_PART = 64 * _PIECE
_DEADLINE = 300.0
_TUS = {"Tus-Resumable": "1.0.0"}
_TUS_PART = {**_TUS, "Content-Type": "application/offset+octet-stream"}

#: Does with a file what a row measures, and returns how many seconds that took.
Action = Callable[[Place, Path], Awaitable[float]]


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    bench = Bench("files", "one large file, taken in, sent and copied", "MB/s", better="higher", bases=("floor",))
    size = options.scaled(options.size, _QUICK)
    with folder_for(size) as folder:
        large, small = _file(folder / "large", size), _file(folder / "small", min(size, _SMALL))
        await rounds(bench, options, list(_ROWS), lambda row: _measure(row, large, small))
    bench.notes.append(f"The file has {size / 1e6:,.0f} MB. Memory is in MiB, of all processes together.")
    return bench


def _file(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        for at in range(0, size, _PART):
            file.write(os.urandom(min(_PART, size - at)))
    return path


async def _measure(row: str, large: Path, small: Path) -> Sample:
    started, action = _ROWS[row]
    async with started(large.parent) as place:
        await action(place, small)
        pids = place.pids()
        idle, used = rss_mib(pids), cpu_seconds(pids)
        forget_peak(pids)
        taken = await action(place, large)
        more = {"CPU s": cpu_seconds(pids) - used, "peak above idle": peak_mib(pids) - idle, "idle": idle}
    return Sample(large.stat().st_size / 1e6 / taken, more)


async def _timed(call: Callable[[], T]) -> tuple[float, T]:
    """The seconds that a call takes, in a thread, and what it returns."""
    began = time.perf_counter()
    result = await asyncio.to_thread(call)
    return time.perf_counter() - began, result


@cache
def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _check(digest: str, file: Path) -> None:
    if digest != _sha256(file):
        raise WrongRun(f"the content has SHA-256 {digest}, and {file} has {_sha256(file)}")


async def _put(place: Place, file: Path, query: str = "") -> float:
    taken, _ = await _timed(lambda: place.client.send("PUT", f"/files/a{query}", file))
    return taken


async def _put_form(place: Place, file: Path) -> float:
    taken, _ = await _timed(lambda: place.client.send_form("/form", file))
    return taken


async def _fetch(place: Place, file: Path) -> float:
    shutil.copyfile(file, place.folder / "a")
    taken, answer = await _timed(lambda: place.client.call("GET", "/files/a"))
    _check_length(answer.length, file)
    return taken


async def _copy(place: Place, file: Path, query: str = "") -> float:
    shutil.copyfile(file, place.folder / "a")
    taken, _ = await _timed(lambda: place.client.call("POST", f"/copies/a{query}"))
    return taken


async def _upload(place: Place, file: Path, part: int | None = None) -> float:
    """Announce the file, and send it at once, or in parts of that size."""
    size, client = file.stat().st_size, place.client

    def send() -> str:
        path = client.call("POST", "/uploads", {**_TUS, "Upload-Length": str(size)}).headers["location"]
        for start in range(0, size, part or size):
            length = min(part or size, size - start)
            client.send("PATCH", path, file, {**_TUS_PART, "Upload-Offset": str(start)}, start=start, length=length)
        return path

    taken, path = await _timed(send)
    _check(client.call("GET", path).json()["sha256"], file)
    return taken


async def _upload_form(place: Place, file: Path) -> float:
    taken, answer = await _timed(lambda: place.client.send_form("/uploads", file))
    _check(answer.json()["sha256"], file)
    return taken


async def _fetch_artifact(place: Place, file: Path) -> float:
    job_id, artifacts = new_id(), place.storage.artifacts
    content = await artifacts.begin(job_id, "a")
    async for piece in _pieces(file):
        await content.write(piece)
    await artifacts.publish(job_id, content)
    taken, answer = await _timed(lambda: place.client.call("GET", f"/jobs/{job_id}/artifacts/a"))
    _check_length(answer.length, file)
    return taken


async def _copy_in_job(place: Place, file: Path) -> float:
    uploads = place.storage.uploads
    upload = await uploads.append(await uploads.begin("a", file.stat().st_size), 0, _pieces(file))
    app, copy = celeriac_files.create(place.settings)
    try:
        began = time.perf_counter()
        digest = await (await copy.enqueue(upload.id)).result(timeout=_DEADLINE)
        taken = time.perf_counter() - began
    finally:
        await app.client.aclose()
        app.close()
    _check(digest, file)
    return taken


async def _pieces(file: Path) -> AsyncGenerator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            yield piece


def _check_length(length: int, file: Path) -> None:
    if length != file.stat().st_size:
        raise WrongRun(f"{length} bytes came, and {file} has {file.stat().st_size}")


_ROWS: dict[str, tuple[Callable[[Path], AbstractAsyncContextManager[Place]], Action]] = {
    "upload: floor": (floor, _put),
    "upload: floor with SHA-256": (floor, partial(_put, query="?digest=1")),
    "upload: celeriac, tus": (celeriac_api, _upload),
    "upload: celeriac, tus in parts of 64 MiB": (celeriac_api, partial(_upload, part=_PART)),
    "form: floor": (floor, _put_form),
    "form: celeriac": (celeriac_api, _upload_form),
    "download: floor": (floor, _fetch),
    "download: celeriac": (celeriac_api, _fetch_artifact),
    "job: floor": (floor, _copy),
    "job: floor with SHA-256": (floor, partial(_copy, query="?digest=1")),
    "job: celeriac": (celeriac_worker, _copy_in_job),
}
