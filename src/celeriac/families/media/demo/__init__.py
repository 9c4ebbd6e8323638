"""Demo of conversions: makes a video with ffmpeg, has it converted through the HTTP API, and looks at the outputs."""

from __future__ import annotations

import asyncio
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

from celeriac.demo import Demo, DemoFailed, Outcome, client_of, follow
from celeriac.families.media import programs
from celeriac.families.media.settings import MediaSettings

_LENGTH_S, _WIDTH, _HEIGHT = 20, 854, 480
#: Outputs of the video, and those of its thumbnail.
_OF_VIDEO = ("mp4", "hls", "thumbnail")
_OF_IMAGE = ("webp",)


class MediaDemo(Demo):
    """A demo that converts one video, and its thumbnail, and fetches what was made."""

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--folder", type=Path, metavar="DIR", help="where to put the outputs (default: a new one)")

    def __init__(self, options: Namespace) -> None:
        self._folder: Path = options.folder or Path(tempfile.mkdtemp(prefix="celeriac-media-demo-"))

    @asynccontextmanager
    async def surroundings(self) -> AsyncGenerator[Mapping[str, str]]:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        yield {}

    async def run(self, api: str, console: Console) -> Outcome:
        video = self._folder / "holiday.mkv"
        await _ffmpeg(*_picture(), *_coding(), str(video))
        console.print(f"made {video.name}, {_LENGTH_S} s of {_WIDTH} x {_HEIGHT}")
        async with client_of(api) as client:
            began = time.monotonic()
            outputs = await self._convert(client, video, _OF_VIDEO, console)
            seconds = time.monotonic() - began
            thumbnail = self._folder / next(name for name in outputs.values() if name.endswith(".jpg"))
            outputs |= await self._convert(client, thumbnail, _OF_IMAGE, console)
        plain = await self._plain(video)
        made = time.monotonic() - began
        faults = [name for name in outputs.values() if not (self._folder / name).stat().st_size]
        paths = {preset: str(self._folder / name) for preset, name in outputs.items()}
        overhead = round(self._mp4_seconds / plain, 3)
        return Outcome(
            ok=not faults and set(outputs) == {*_OF_VIDEO, *_OF_IMAGE},
            summary=(
                f"{', '.join(outputs)} made in {seconds:.1f} s, in {self._folder}; "
                f"the mp4 took {overhead:.2f} times as long as with plain ffmpeg"
            ),
            seconds=made,
            facts={"outputs": paths, "overhead": overhead},
        )

    async def _convert(
        self, client: httpx2.AsyncClient, file: Path, presets: tuple[str, ...], console: Console
    ) -> dict[str, str]:
        """Send a file, have it converted, fetch all that was made, and return the main file of each preset."""
        with file.open("rb") as content:
            upload = await _answer(client.post("/uploads", files={"file": (file.name, content)}), 201)
        job = await _answer(
            client.post("/media/conversions", json={"source": {"upload": upload["id"]}, "presets": list(presets)}), 202
        )
        console.print(f"POST /media/conversions {', '.join(presets)} → 202, job {job['id']}")
        await follow(client, job["id"], console, doing="converting", total=100)
        for made in (await _answer(client.get(f"/jobs/{job['id']}/artifacts"), 200))["artifacts"]:
            await _fetch(client, f"/jobs/{job['id']}/artifacts/{made['name']}", self._folder / made["name"])
        outcome = (await _answer(client.get(f"/jobs/{job['id']}/result"), 200))["result"]
        for one in outcome["outputs"]:
            console.print(f"  {one['preset']}: {one['detail']}, {one['seconds']:.1f} s")
            if one["preset"] == "mp4":
                self._mp4_seconds: float = one["seconds"]
        return {one["preset"]: one["files"][0] for one in outcome["outputs"]}

    async def _plain(self, video: Path) -> float:
        """Seconds that ffmpeg takes for the same mp4 by itself."""
        began = time.monotonic()
        pictures = ["-vf", "setsar=1,format=yuv420p", "-c:v", "libx264", "-preset", "medium", "-profile:v", "high"]
        sound = ["-crf", "23", "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart"]
        await _ffmpeg("-i", str(video), *pictures, *sound, str(self._folder / "plain.mp4"))
        return time.monotonic() - began


def _picture() -> list[str]:
    size = f"s={_WIDTH}x{_HEIGHT}:r=25:d={_LENGTH_S}"
    return ["-f", "lavfi", "-i", f"testsrc2={size}", "-f", "lavfi", "-i", f"sine=330:d={_LENGTH_S}"]


def _coding() -> list[str]:
    return ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv444p", "-c:a", "flac"]


async def _ffmpeg(*arguments: str) -> None:
    program = programs.ffmpeg(MediaSettings())
    process = await asyncio.create_subprocess_exec(program, "-v", "error", "-nostdin", "-y", *arguments)
    if await process.wait():
        raise DemoFailed(f"ffmpeg ended with code {process.returncode}")


async def _answer(request: Any, status: int) -> Any:
    response = await request
    if response.status_code != status:
        raise DemoFailed(f"the API answered {response.status_code}: {response.text}")
    return response.json()


async def _fetch(client: httpx2.AsyncClient, path: str, place: Path) -> None:
    async with client.stream("GET", path) as response:
        if response.status_code != 200:
            raise DemoFailed(f"the API answered {response.status_code} for {path}")
        with await asyncio.to_thread(place.open, "wb") as file:
            async for piece in response.aiter_bytes():
                await asyncio.to_thread(file.write, piece)
