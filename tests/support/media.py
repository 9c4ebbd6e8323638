"""Videos, sounds and images for tests, made by the real ffmpeg and Pillow; and a family of conversions to use them."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.core.records import JobRecord
from celeriac.engine.in_process import InProcessJobs
from celeriac.families.media import MediaFamily, MediaSettings
from celeriac.families.media.programs import ffmpeg
from celeriac.families.media.sources import SourceChoice
from celeriac.families.media.submission import ConversionRequest, submit
from celeriac.testing import in_process

#: Three seconds that can be told apart: red, green, blue.
COLOURS = (
    "color=red:s=160x90:r=10:d=1[a];color=lime:s=160x90:r=10:d=1[b];color=blue:s=160x90:r=10:d=1[c];[a][b][c]concat=n=3"
)


@cache
def program() -> str:
    return ffmpeg(MediaSettings())


def make(file: Path, *arguments: str) -> Path:
    """Have ffmpeg make a file."""
    command = [program(), "-v", "error", "-nostdin", "-y", *arguments, str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return file


def video(file: Path, *more: str, seconds: float = 2, size: str = "160x90", sound: bool = True) -> Path:
    """A small video with a tone. `more` are further arguments of the output."""
    pictures = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=10:d={seconds}"]
    tone = ["-f", "lavfi", "-i", f"sine=440:d={seconds}:r=48000"] if sound else []
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k"]
    return make(file, *pictures, *tone, *coding, *more)


def streams_of(file: Path) -> dict[str, Any]:
    """What PyAV says of a file: codecs, size and duration."""
    import av

    with av.open(str(file)) as container:
        found: dict[str, Any] = {"duration": round((container.duration or 0) / 1_000_000, 1)}
        for stream in container.streams:
            found[stream.type] = stream.codec_context.codec.canonical_name
            if stream.type == "video":
                found["size"] = (stream.codec_context.width, stream.codec_context.height)
        return found


@dataclass
class Media:
    """An application that converts in the test's own process, with real converters and a real folder for files."""

    app: Celeriac
    family: MediaFamily
    jobs: InProcessJobs
    folder: Path
    made: dict[str, bytes] = field(default_factory=dict[str, bytes])

    async def upload(self, file: Path, name: str | None = None) -> str:
        uploads = self.app.storage.uploads
        upload = await uploads.begin(name or file.name, file.stat().st_size)
        if not upload.is_complete:
            upload = await uploads.append(upload, 0, _whole(file))
        return upload.id

    async def submit(self, file: Path, *presets: Any, name: str | None = None) -> JobRecord:
        """Upload the file and convert it. The job has ended."""
        return await self.submit_upload(await self.upload(file, name), *presets)

    async def submit_upload(self, upload: str, *presets: Any) -> JobRecord:
        """Convert a file that has been uploaded. The job has ended."""
        request = ConversionRequest(source=SourceChoice(upload=upload), presets=list(presets))
        family = self.family
        return await submit(family.host, family.settings, family.jobs, request, owner="", key=None)

    async def convert(self, file: Path, *presets: Any, name: str | None = None) -> list[dict[str, Any]]:
        """Upload the file and convert it; return the outputs. Their files are in `folder`."""
        job = self.jobs.of((await self.submit(file, *presets, name=name)).id)
        if job.error is not None:
            raise job.error
        assert job.record.state == "succeeded", job.record
        for made, content in job.artifacts.items():
            (self.folder / made).write_bytes(content)
        return list(job.result["outputs"])

    @property
    def last(self) -> Any:
        return self.jobs.all[-1]


async def _whole(file: Path) -> Any:
    yield file.read_bytes()


@contextmanager
def media(folder: Path, storage: str = "", **settings: Any) -> Generator[Media]:
    """The family of conversions, in an application of its own. `storage` is a URL; default: a folder below `folder`."""
    url = SecretStr(storage or (folder / "storage").as_uri())
    made = folder / "made"
    made.mkdir(exist_ok=True)
    app = Celeriac(
        "media",
        settings=Settings(data_dir=folder, storage_url=url, storage_reserve_bytes=0),
    )
    own = {"media_work_dir": folder / "work", "media_stall_timeout": 20, **settings}
    family = app.include_family(MediaFamily, MediaSettings(**own))
    with in_process(app) as jobs:
        yield Media(app, family, jobs, made)
    app.close()
