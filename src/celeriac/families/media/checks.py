"""The checks of conversions in `celeriac doctor`: which programs are there, and what they can do."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

from celeriac.core.findings import Finding, fail, ok, warn
from celeriac.families.media import programs
from celeriac.families.media.errors import ConverterMissing
from celeriac.families.media.settings import MediaSettings

_PATIENCE_S = 5.0
#: What the built-in presets need.
_ENCODERS = ("libx264", "libvpx-vp9", "libsvtav1", "aac", "libopus", "libmp3lame")


async def check_programs(own: MediaSettings) -> Sequence[Finding]:
    """Report whether ffmpeg is there, with its encoders, and LibreOffice."""
    return [await _ffmpeg(own), _office(own)]


async def _ffmpeg(own: MediaSettings) -> Finding:
    try:
        path = programs.ffmpeg(own)
    except ConverterMissing as error:
        return warn("ffmpeg", str(error), "install one of them if you want to convert videos and sounds")
    try:
        known = await _output(path, "-hide_banner", "-encoders")
    except (OSError, TimeoutError) as error:
        return fail("ffmpeg", f"{path} does not run: {error or 'no answer'}", "name another with CELERIAC_MEDIA_FFMPEG")
    words = {line.split()[1] for line in known.splitlines() if len(line.split()) > 1}
    if missing := [name for name in _ENCODERS if name not in words]:
        return warn("ffmpeg", f"{path} lacks {', '.join(missing)}", "install a build that has them; some presets fail")
    return ok("ffmpeg", path)


def _office(own: MediaSettings) -> Finding:
    try:
        return ok("libreoffice", programs.soffice(own))
    except ConverterMissing as error:
        if own.media_soffice:
            return fail("libreoffice", str(error), "correct CELERIAC_MEDIA_SOFFICE")
        return ok("libreoffice", "not there: office documents are refused, all else is converted")


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace")
