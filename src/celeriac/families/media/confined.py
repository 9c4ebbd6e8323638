"""Runs converters in process groups of their own, with limits, and ends them however the job ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from celeriac.core.errors import CeleriacError, StorageFull
from celeriac.families.media.errors import ConversionFailed, ConversionLimited, ConversionStalled, NotConfined

log = logging.getLogger("celeriac.media")

_OUTSIDE = Path(__file__).with_name("outside")
_CONFINE = str(_OUTSIDE / "confine.py")
#: How long a converter may take to end after SIGTERM. With what follows it must stay below 3 s.
_GRACE_S = 1.0
#: How often it is looked whether the program has ended and left others of its group.
_LOOK_S = 0.1
#: What is kept of a converter's messages, in bytes, from their end.
_MESSAGES_BYTES = 32_768
_LINE_BYTES = 1_048_576
#: How much a converter may answer. Its answers are short; more is an attack on this process's memory.
_OUTPUT_BYTES = 8 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run of a converter may use.

    Attributes:
        memory_bytes: address space.
        cpu_s: CPU time in seconds, on all cores together.
        file_bytes: size of one file that it writes.
        seconds: time from start to end.
        also: paths that it may read and write besides its directory.
        strict: start nothing that cannot be confined.
    """

    memory_bytes: int
    cpu_s: int
    file_bytes: int
    seconds: float
    also: tuple[Path, ...] = ()
    strict: bool = False


#: What programs need to run, and to know fonts and the time. All else of the machine is closed to them. Not all of
#: `/usr`: images keep applications, with their secrets, in `/usr/src`.
_READABLE = (
    *(str(path) for path in sorted(Path("/usr").glob("*")) if path.name != "src"),
    *("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store", "/snap"),
    *("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *(
        "/etc/libreoffice",
        "/etc/locale.alias",
        "/etc/localtime",
        "/var/cache/fontconfig",
        "/var/lib/libreoffice",
        "/var/spool/libreoffice",
    ),
    *("/dev/random", "/dev/urandom", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
_WRITABLE = ("/dev/null", "/dev/zero")

#: How `confine.py` begins the line that says what the system refused, and its code if it started nothing.
_UNCONFINED, _NOT_STARTED = "UNCONFINED ", 78
#: What a converter can do then.
_REFUSED = {
    "files": "open all files of this user",
    "network": "reach the network",
    "rights": "keep rights of root",
}


async def run(
    command: Sequence[str],
    limits: Limits,
    folder: Path,
    *,
    reads: Sequence[Path] = (),
    sockets: Sequence[str] = (),
    given: bytes = b"",
    on_line: Callable[[str], bool] | None = None,
    stall_s: float | None = None,
) -> tuple[str, str]:
    """Run a program in `folder`, and return what it wrote to standard output and (the end of) standard error.

    On Linux with Landlock, it can open programs and libraries of the system, `reads`, and what is in `folder`; nothing
    else. It can make sockets below `sockets`, and no file, and deletes nothing there.

    `given` is its standard input. `on_line` gets each line of the output at once, and says whether it shows progress.
    Without progress for `stall_s` seconds, the program is ended. When this coroutine ends, so has the program.

    Raises:
        ConversionStalled, ConversionLimited: it was ended.
        ConversionFailed: it ended with an error.
        StorageFull: it ended, because the disk is full.
        NotConfined: the limits are strict, and this system cannot confine it.
    """
    process = await asyncio.create_subprocess_exec(
        *_confined(command, limits, _places(command, limits, folder, reads, sockets)),
        stdin=PIPE if given else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"},
        start_new_session=True,
        limit=_LINE_BYTES,
    )
    messages = asyncio.create_task(_end_of(process.stderr))
    group = asyncio.create_task(_end_group(process))
    try:
        async with asyncio.timeout(limits.seconds):
            if given and process.stdin is not None:
                with suppress(ConnectionError):  # it has ended early, and its exit code says more
                    process.stdin.write(given)
                    await process.stdin.drain()
                process.stdin.close()
            output = await _output(process, on_line, stall_s)
            code = await process.wait()
        told = await messages
    except TimeoutError:
        raise ConversionLimited(f"{_name(command)} was ended after {limits.seconds:g} s") from None
    finally:
        rest = asyncio.create_task(_end_of(process.stdout))  # its end is told only when all of it is read
        await _end(process)
        group.cancel()  # it looks now and then only; the caller waits
        _signal(process.pid, signal.SIGKILL)
        messages.cancel()
        rest.cancel()
    told = _without_refusals(told, code)
    if code:
        raise _failure(_name(command), code, told, limits)
    return output, told


def script(name: str) -> list[str]:
    """The command that runs one of the scripts in `outside/`, apart from this process's modules and environment."""
    return [sys.executable, "-I", str(_OUTSIDE / f"{name}.py")]


def _confined(command: Sequence[str], limits: Limits, places: str) -> list[str]:
    numbers = (os.getpid(), limits.memory_bytes, limits.cpu_s, limits.file_bytes, int(limits.strict))
    return [sys.executable, "-I", "-S", _CONFINE, *map(str, numbers), places, *command]


def _places(command: Sequence[str], limits: Limits, folder: Path, reads: Sequence[Path], sockets: Sequence[str]) -> str:
    home = Path(command[0]).resolve().parent  # a program may be anywhere, with its libraries beside it
    readable = (*_READABLE, *(_packages() if command[0] == sys.executable else ()), home, *reads)
    writable = (*_WRITABLE, folder, *limits.also)
    lines = ((kind, path) for kind, paths in (("r", readable), ("w", writable), ("s", sockets)) for path in paths)
    return "\n".join(f"{kind} {path}" for kind, path in lines)


def _packages() -> set[str | Path]:
    """What Python scripts import. Not `sys.path`: it has the worker's directory, with its secrets and storage."""
    return {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), _OUTSIDE}


async def _output(process: Process, on_line: Callable[[str], bool] | None, stall_s: float | None) -> str:
    assert process.stdout is not None
    if on_line is None:
        output = bytearray()
        while piece := await process.stdout.read(65_536):
            output += piece
            if len(output) > _OUTPUT_BYTES:
                raise ConversionLimited(f"the converter answered more than {_OUTPUT_BYTES:,} bytes, and was ended")
        return output.decode("utf-8", "replace")
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(stall_s) as patience:
            while line := await _line(process.stdout):
                if on_line(line.decode("utf-8", "replace").rstrip()) and stall_s is not None:
                    patience.reschedule(now() + stall_s)
    except TimeoutError:
        raise ConversionStalled(
            f"the converter made no progress for {stall_s:g} s, and was ended (CELERIAC_MEDIA_STALL_TIMEOUT)"
        ) from None
    return ""


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        raise ConversionLimited(
            f"the converter wrote a line of more than {_LINE_BYTES:,} bytes, and was ended"
        ) from None


async def _end_of(stream: asyncio.StreamReader | None) -> str:
    """Read all, so that the program never waits for a reader, and keep the end."""
    assert stream is not None
    kept = b""
    while piece := await stream.read(65_536):
        kept = (kept + piece)[-_MESSAGES_BYTES:]
    return kept.decode("utf-8", "replace")


async def _end_group(process: Process) -> None:
    """When the program has ended, kill what it has started. That holds its pipes open, for which `wait` would wait."""
    while process.returncode is None:  # noqa: ASYNC110 (asyncio tells of it only when the pipes are closed)
        await asyncio.sleep(_LOOK_S)
    _signal(process.pid, signal.SIGKILL)


async def _end(process: Process) -> None:
    """End the program's group: ask first, then kill. Whoever cancels this too, kills at once."""
    if process.returncode is not None:
        return
    try:
        _signal(process.pid, signal.SIGTERM)
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _without_refusals(told: str, code: int) -> str:
    """Take away the first line if it says what the system refused, and warn of that."""
    first, _, rest = told.partition("\n")
    if not first.startswith(_UNCONFINED):
        return told
    can = " and ".join(_REFUSED.get(name, name) for name in first.removeprefix(_UNCONFINED).split())
    if code == _NOT_STARTED:
        raise NotConfined(
            f"no converter is started: it could {can} on this system, and CELERIAC_MEDIA_REQUIRE_CONFINEMENT is set. "
            "Linux 5.13 or newer with Landlock can keep it from that"
        )
    _warn(can)
    return rest


@cache
def _warn(can: str) -> None:
    """Once in each process."""
    log.warning(
        "converters can %s: this system does not keep them from it. That matters if strangers send files; "
        "CELERIAC_MEDIA_REQUIRE_CONFINEMENT=true refuses to convert here",
        can,
    )


def _failure(name: str, code: int, told: str, limits: Limits) -> CeleriacError:
    last = "; ".join(line.strip() for line in told.splitlines()[-4:] if line.strip())[-600:]
    if code == -signal.SIGXCPU:
        return ConversionLimited(f"{name} used more than {limits.cpu_s:,} s of CPU time (CELERIAC_MEDIA_CPU_SECONDS)")
    if code == -signal.SIGXFSZ:
        return ConversionLimited(
            f"{name} wrote a file of more than {limits.file_bytes:,} bytes (CELERIAC_MAX_FILE_BYTES)"
        )
    if "No space left on device" in told:
        return StorageFull(f"{name} found the disk full: make room there, or set CELERIAC_MEDIA_WORK_DIR: {last}")
    if "Cannot allocate memory" in told or "MemoryError" in told:
        return ConversionLimited(
            f"{name} needs more than {limits.memory_bytes:,} bytes of memory (CELERIAC_MEDIA_MEMORY_BYTES): {last}"
        )
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return ConversionFailed(f"{name} {how}: {last or 'it said nothing'}")


def _name(command: Sequence[str]) -> str:
    return Path(command[-1] if command[0] == sys.executable else command[0]).name
