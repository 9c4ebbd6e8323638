"""The checks of conversions in `celeriac doctor`: which programs are there, and what they can do."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from celeriac.core.findings import Finding, fail, ok, warn
from celeriac.families.media import confined, programs
from celeriac.families.media.confined import Limits
from celeriac.families.media.errors import ConversionFailed, ConverterMissing, NotConfined
from celeriac.families.media.settings import MediaSettings

_PATIENCE_S = 5.0
#: What the built-in presets need.
_ENCODERS = ("libx264", "libvpx-vp9", "libsvtav1", "aac", "libopus", "libmp3lame")


_LIMITS = Limits(memory_bytes=4 * 1_073_741_824, cpu_s=10, file_bytes=1_048_576, seconds=10)
_ELSEWHERE = (
    "use Linux 5.13 or newer with Landlock, or run workers in containers without secrets and network, "
    "if strangers send files"
)
#: Says what succeeded.
_TRIES = """
import socket, sys
place = ("127.0.0.1", int(sys.argv[2]))
for name, act in (
    ("files", lambda: open(sys.argv[1])),
    ("network", lambda: socket.create_connection(place, 2)),
    ("network", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", place)),
):
    try:
        act()
        print(name)
    except OSError:
        pass
"""


async def check_programs(own: MediaSettings) -> Sequence[Finding]:
    """Report whether ffmpeg is there, with its encoders, and LibreOffice, and how far converters are confined."""
    return [await _ffmpeg(own), _office(own), await _confinement(own)]


async def _confinement(own: MediaSettings) -> Finding:
    """Try what a hostile file may: to read another file, and to reach the network."""
    with (
        tempfile.TemporaryDirectory(prefix="celeriac-") as folder,
        tempfile.NamedTemporaryFile() as other,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        tries = [sys.executable, "-I", "-c", _TRIES, other.name, str(server.getsockname()[1])]
        limits = replace(_LIMITS, strict=own.media_require_confinement)
        try:
            told, _ = await confined.run(tries, limits, Path(folder))
        except NotConfined as error:
            return fail("confinement", str(error), _ELSEWHERE)
        except (OSError, ConversionFailed) as error:
            return fail("confinement", f"converters cannot be started: {error}", "see the documentation of conversions")
    if not (reached := list(dict.fromkeys(told.split()))):
        return ok("confinement", "converters can open their own files only, and have no network")
    lacks = {"files": "read all files of this user", "network": "reach the network"}
    can = " and ".join(lacks[one] for one in reached)
    told = f"converters can {can}: this system cannot keep them from it"
    return (fail if own.media_require_confinement else warn)("confinement", told, _ELSEWHERE)


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
