"""How much longer does a video take as a job than with plain ffmpeg and the same arguments?

Both make the preset `mp4` of one video. The job's time runs from its submission to its end: it looks at the file,
converts it, proves the output, and publishes it. The file is in the storage before, and the worker has run a job. CPU
time is that of all processes of the worker, and of ffmpeg.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from benchmarks.harness import Bench
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.procfs import cpu_seconds, tree
from benchmarks.support.rounds import Sample, rounds
from benchmarks.support.server import fresh_server
from celeriac import Celeriac, Settings
from celeriac.core.errors import JobUnsuccessful
from celeriac.families.media import MediaFamily, MediaSettings, programs
from celeriac.families.media.jobs import limits_of
from celeriac.families.media.presets import VideoPreset, choose
from celeriac.families.media.probing import probe
from celeriac.families.media.sources import SourceChoice, check_fit, find, local
from celeriac.families.media.toolbox import Toolbox
from celeriac.families.media.videos import passes_of, picture_of
from celeriac.settings import as_environment
from celeriac.worker import create_app

_LENGTH_S, _QUICK_S = 120, 2
_SIZE, _QUICK_SIZE = "1280x720", "160x90"
_PLAIN, _JOB = "plain ffmpeg", "celeriac, a job"
_LONGEST_S = 900.0


def run(options: Options) -> Bench:
    """Measure."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Bench:
    length, size = (_QUICK_S, _QUICK_SIZE) if options.quick else (_LENGTH_S, _SIZE)
    bench = Bench("transcode", f"{length} s of {size} to MP4", "s", bases=(_PLAIN,))
    with TemporaryDirectory(prefix="celeriac-bench-") as name:
        folder = Path(name)
        video = folder / "video.mkv"
        await _ffmpeg(*_making(length, size), str(video))
        async with _working(folder) as (app, worker):
            transcode = _Transcode(app, worker, video)
            await transcode.job()  # whatever a worker does at its first one
            measures = {_PLAIN: transcode.plain, _JOB: transcode.job}
            return await rounds(bench, options, list(measures), lambda row: measures[row]())


class _Transcode:
    """The two ways."""

    def __init__(self, app: Celeriac, worker: int, video: Path) -> None:
        """`worker` is the id of the worker's first process."""
        self._app = app
        self._worker = worker
        self._family = app.family(MediaFamily)
        self._video = video

    async def plain(self) -> Sample:
        """Run ffmpeg with the arguments that the job gives it, but for those of the progress."""
        file, own, work = local(self._video), self._family.settings, self._video.parent
        facts = await probe(file, own, work)
        box = Toolbox(own=own, source=file, facts=facts, work=work, limits=limits_of(self._family.host, own))
        (arguments,) = passes_of(box, VideoPreset(), picture_of(box), work / "plain.mp4")
        progress = arguments.index("-progress")
        used, began = cpu_seconds([os.getpid()]), time.monotonic()
        await _ffmpeg(*arguments[:progress], *arguments[progress + 4 :])
        return Sample(time.monotonic() - began, {"CPU s": cpu_seconds([os.getpid()]) - used})

    async def job(self) -> Sample:
        """Have a worker make it."""
        uploads = self._app.storage.uploads
        upload = await uploads.begin(self._video.name, self._video.stat().st_size)
        await uploads.append(upload, 0, _content(self._video))
        source = await find(self._app.storage, SourceChoice(upload=upload.id), owner="", library=None)
        chosen = choose(["mp4"], {})
        check_fit(source, chosen)
        used, began = cpu_seconds(tree(self._worker)), time.monotonic()
        handle = await self._family.jobs.convert.enqueue(source, chosen)
        try:
            await handle.result(timeout=_LONGEST_S)
        except JobUnsuccessful as error:
            raise RunFailed(str(error)) from None
        seconds = time.monotonic() - began
        await uploads.delete(upload.id)
        await self._app.storage.artifacts.delete(handle.id)
        return Sample(seconds, {"CPU s": cpu_seconds(tree(self._worker)) - used})


@asynccontextmanager
async def _working(folder: Path) -> AsyncGenerator[tuple[Celeriac, int]]:
    """Run a worker of one process, and yield the same application here, and the id of its first process."""
    async with fresh_server() as server:
        settings = Settings(broker_url=SecretStr(server.url), data_dir=folder, storage_reserve_bytes=0)
        app = create_app(settings, {"media": MediaSettings(media_work_dir=folder / "work")})
        environment = {**as_environment(settings), "CELERIAC_MEDIA_WORK_DIR": str(folder / "work")}
        with (folder / "log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "celeriac", "worker", "--shards", "1"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        try:
            yield app, worker.pid
        finally:
            worker.terminate()
            await worker.wait()
            await app.client.aclose()
            app.close()  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)


def _making(length: int, size: str) -> list[str]:
    picture, tone = f"testsrc2=s={size}:r=25:d={length}", f"sine=330:d={length}"
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "16", "-pix_fmt", "yuv444p", "-c:a", "flac"]
    return ["-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, *coding]


async def _ffmpeg(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        programs.ffmpeg(MediaSettings()),
        *("-v", "error", "-nostdin", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise RunFailed(f"ffmpeg ended with {process.returncode}")


async def _content(file: Path) -> AsyncGenerator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, 4 * 1_048_576):
            yield piece
