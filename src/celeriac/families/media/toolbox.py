"""What each conversion needs: its file and facts, its directory, its limits, and ways to run converters in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from celeriac.families.media import confined, programs
from celeriac.families.media.confined import Limits
from celeriac.families.media.errors import MediaRefused, OutputFaulty
from celeriac.families.media.formats import demuxer_of
from celeriac.families.media.model import LocalFile, MediaFacts
from celeriac.families.media.progress import FfmpegProgress, Report
from celeriac.families.media.settings import MediaSettings
from celeriac.families.media.workspace import check_room

#: An output may be shorter or longer than its source by one percent, or by this: frames and audio packets are whole.
_TOLERANCE_S = 0.25
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """The means of the conversions of one file.

    Attributes:
        own: the family's settings.
        source: the file.
        facts: what was found in it.
        work: a directory for unfinished files.
        limits: for one run of a converter.
        reserve_bytes: what stays free on the disk.
    """

    own: MediaSettings
    source: LocalFile
    facts: MediaFacts
    work: Path
    limits: Limits
    reserve_bytes: int = 0

    @property
    def duration(self) -> float:
        """Seconds of the source.

        Raises:
            MediaRefused: nobody knows.
        """
        if not self.facts.duration:
            raise MediaRefused(f"{self.source.name!r} cannot be converted: it has no duration")
        return self.facts.duration

    async def ffmpeg(self, arguments: Sequence[str], duration: float | None, report: Report) -> str:
        """Run ffmpeg, and return the end of what it said.

        Raises:
            ConversionFailed: or what follows from it.
            StorageFull: the disk has only its reserve left.
        """
        progress = FfmpegProgress(duration, report)

        def on_line(line: str) -> bool:
            moved = progress.line(line)
            if moved:
                check_room(self.work, self.reserve_bytes)
            return moved

        await asyncio.to_thread(check_room, self.work, self.reserve_bytes)
        command = [await asyncio.to_thread(programs.ffmpeg, self.own), *arguments]
        _, told = await confined.run(
            command,
            self.limits,
            self.work,
            reads=(self.source.path,),
            on_line=on_line,
            stall_s=self.own.media_stall_timeout,
        )
        return told

    def input(self, *, start: float | None = None, length: float | None = None) -> list[str]:
        """The arguments that open the source: one demuxer, no protocol but files, and bounds for its decoders."""
        return [
            *(["-ss", f"{start:.3f}"] if start else []),
            "-t",
            f"{self.own.media_max_duration if length is None else length:.3f}",
            "-protocol_whitelist",
            "file",
            "-max_pixels",
            str(self.own.media_max_pixels),
            "-f",
            demuxer_of(self.source.content_type),
            "-i",
            f"file:{self.source.path}",
        ]

    async def script(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run a script of `outside/`, and return its answer.

        Raises:
            MediaRefused: it found a fault.
        """
        answer = await ask(name, request, self.limits, self.work)
        if "fault" in answer:
            raise MediaRefused(f"{self.source.name!r} cannot be converted: {answer['fault']}")
        return answer

    async def prove(
        self,
        made: Path,
        demuxer: str,
        kinds: dict[str, float | None],
        duration: float | None,
        *,
        fragmented: bool = False,
        slack: float = 0.0,
    ) -> MediaFacts:
        """Check that `made` has the streams `kinds` (with their ends, if known), lasts `duration`, and can be decoded.

        It may differ by `slack` seconds in any case.

        Raises:
            OutputFaulty: it is not so.
        """
        request = {
            "act": "prove",
            "path": str(made),
            "demuxer": demuxer,
            "streams": kinds,
            "duration": duration,
            "tolerance": max(slack, tolerance(duration)),
            "fragmented": fragmented,
        }
        answer = await ask("inspect_media", request, self.limits, self.work)
        if "fault" in answer:
            raise OutputFaulty(f"what was made of {self.source.name!r} is not published: {answer['fault']}")
        return MediaFacts(category="video", content_type="", size=0, **answer)

    def ends(self) -> dict[str, float | None]:
        """Where the source's video and audio end, for those that it has."""
        return {stream.type: stream.end for stream in (self.facts.video, self.facts.audio) if stream is not None}

    def with_limits(self, **changes: Any) -> Toolbox:
        """The same with other limits."""
        return replace(self, limits=replace(self.limits, **changes))


#: The beginning of each command line of ffmpeg: it asks nobody, tells its progress, and replaces what it has begun.
FFMPEG = (
    *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y"),
    *("-progress", "pipe:1", "-stats_period", "0.2"),
)


def tolerance(duration: float | None) -> float:
    """By how many seconds an output may differ from its source."""
    return max(_TOLERANCE_S, _TOLERANCE * (duration or 0))


async def ask(name: str, request: dict[str, Any], limits: Limits, folder: Path) -> dict[str, Any]:
    """Run a script of `outside/`, and return its answer."""
    reads = [Path(request["path"])] if "path" in request else []
    given = json.dumps(request).encode()
    output, _ = await confined.run(confined.script(name), limits, folder, reads=reads, given=given)
    answer: dict[str, Any] = json.loads(output)
    return answer
