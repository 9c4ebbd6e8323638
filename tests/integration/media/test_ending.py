"""However a conversion ends, its converter ends with it, and nothing half-made is published."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.errors import ConfigurationError, StorageFull
from celeriac.core.ids import new_id
from celeriac.families.media import confined
from celeriac.families.media.confined import Limits
from celeriac.families.media.errors import ConversionFailed, ConversionLimited, ConversionStalled, OutputFaulty
from celeriac.families.media.workspace import sweep, workspace, workspace_in_thread
from tests.support import media as support
from tests.support.clock import fair_clock
from tests.support.media import Media, program
from tests.support.slow import quick_first
from tests.support.waiting import eventually

LIMITS = Limits(memory_bytes=4 << 30, cpu_s=60, file_bytes=1 << 30, seconds=60)

#: Scripts in place of ffmpeg. `$HERE` is a folder of the test's, `$FFMPEG` the real program.
SAYS_NOTHING = "sleep 1000 & echo $! > $HERE/child; exec sleep 1000"
STANDS_STILL = "while :; do printf 'frame=5\\nout_time_us=200000\\nprogress=continue\\n'; sleep 0.05; done"
LEAVES_A_CHILD = "(trap '' TERM; exec sleep 1000) & echo $! > $HERE/child; exit 3"
STOPS_ITSELF = "echo $$ > $HERE/pid; kill -STOP $$; sleep 1000"
FORKS = (
    "(trap '' TERM; while :; do sleep 1000; done) & echo $! > $HERE/pid; trap 'exit 0' TERM; while :; do sleep 1; done"
)
IGNORES_SIGTERM = "trap '' TERM; echo $$ > $HERE/pid; while :; do sleep 1000; done"
_THEN = 'for last; do :; done; "$FFMPEG" "$@" || exit 1; '
_AGAIN = '"$FFMPEG" -v error -y -i "$last" -c copy {} "$last.mp4" && mv "$last.mp4" "$last"'
STOPS_EARLY = _THEN + _AGAIN.format("-t 1")  # of 2 s
FORGETS_THE_SOUND = _THEN + _AGAIN.format("-an")
LOSES_THE_END = _THEN + 'dd if=/dev/null of="$last" bs=1 seek=3000 2>/dev/null'


@pytest.fixture
def stand_in(tmp_path: Path) -> Generator[Callable[..., Media]]:
    """Makes a family whose ffmpeg is a script."""
    with ExitStack() as open_families:

        def make(script: str, **settings: Any) -> Media:
            file = tmp_path / "ffmpeg.sh"
            file.write_text(f"#!/bin/sh\nHERE={tmp_path}\nFFMPEG={program()}\n{script}\n")
            file.chmod(0o755)
            own = {"media_ffmpeg": str(file), "media_also_open": [tmp_path, Path(program()).parent], **settings}
            return open_families.enter_context(support.media(tmp_path, **own))

        yield make


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not asked for its code yet does not."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def pid_in(file: Path) -> int:
    """The process id that a script has written."""
    return int(await eventually(lambda: file.exists() and file.read_text().strip(), f"{file} is there"))


async def fails(media: Media, clip: Path, kind: type[Exception], preset: Any = "mp4") -> str:
    with pytest.raises(kind) as caught:
        await media.convert(clip, {"name": preset, "max_height": 60} if preset == "mp4" else preset)
    assert media.last.artifacts == {}
    assert media.last.record.state == "failed" and media.last.record.attempt == 1
    return str(caught.value)


async def test_an_ffmpeg_that_says_nothing_is_ended_with_all_its_processes(
    stand_in: Callable[..., Media], clip: Path, tmp_path: Path
) -> None:
    told = await fails(stand_in(SAYS_NOTHING, media_stall_timeout=1), clip, ConversionStalled)
    assert "no progress for 1 s" in told and "CELERIAC_MEDIA_STALL_TIMEOUT" in told
    assert not is_alive(await pid_in(tmp_path / "child"))


async def test_what_a_converter_leaves_behind_is_ended(
    stand_in: Callable[..., Media], clip: Path, tmp_path: Path
) -> None:
    """It holds the pipes of its parent, which has ended: nobody waits for it."""
    with fair_clock() as clock:
        with pytest.raises(ConversionFailed, match="ended with code 3"):
            await stand_in(LEAVES_A_CHILD).convert(clip, {"name": "mp4", "max_height": 60})
        assert clock() < 20  # and not the 1000 s of the child; three attempts
    assert not is_alive(await pid_in(tmp_path / "child"))


@pytest.mark.slow
async def test_an_ffmpeg_that_talks_and_stands_still_is_ended(stand_in: Callable[..., Media], clip: Path) -> None:
    await fails(stand_in(STANDS_STILL, media_stall_timeout=0.5), clip, ConversionStalled)


@pytest.mark.slow
async def test_a_conversion_that_takes_too_long_is_ended(stand_in: Callable[..., Media], clip: Path) -> None:
    told = await fails(stand_in(SAYS_NOTHING, media_timeout=2), clip, ConversionLimited)
    assert "CELERIAC_MEDIA_TIMEOUT" in told or "was ended after 2 s" in told


@pytest.mark.parametrize(
    "script",
    quick_first([IGNORES_SIGTERM, STOPS_ITSELF, FORKS]),
    ids=["ignores SIGTERM", "is stopped", "has a child that ignores SIGTERM"],
)
@pytest.mark.alone
async def test_a_cancelled_conversion_ends_a_converter_that_does_not_want_to_within_three_seconds(
    stand_in: Callable[..., Media], clip: Path, tmp_path: Path, script: str
) -> None:
    media = stand_in(script)
    running = asyncio.create_task(media.submit(clip, {"name": "mp4", "max_height": 60}))
    pid = await pid_in(tmp_path / "pid")
    with fair_clock() as clock:
        await media.jobs.cancel(media.last.record.id)
        record = await running
        assert clock() < 3
    assert record.id and (await media.jobs.get(record.id)).state == "cancelled"
    assert not is_alive(pid)
    assert list((tmp_path / "work").rglob("*.mp4")) == []


@pytest.mark.parametrize(
    "case",
    quick_first([(STOPS_EARLY, "it lasts 1."), (FORGETS_THE_SOUND, "it has no audio"), (LOSES_THE_END, "is not")]),
    ids=["stops early", "forgets the sound", "loses the end"],
)
async def test_an_output_that_is_not_whole_is_never_published(
    stand_in: Callable[..., Media], clip: Path, case: tuple[str, str]
) -> None:
    """ffmpeg ends with code 0 in each of them, as it did when 3 of 43 minutes passed for a success elsewhere."""
    script, why = case
    told = await fails(stand_in(script), clip, OutputFaulty)
    assert why in told and "is not published" in told


async def test_a_work_directory_that_cannot_be_used_is_tried_once(
    stand_in: Callable[..., Media], clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / f"celeriac-media-{os.getuid()}").symlink_to(tmp_path)
    assert "CELERIAC_MEDIA_WORK_DIR" in await fails(stand_in(SAYS_NOTHING), clip, ConfigurationError)


async def test_a_disk_that_is_full_is_not_tried_again(stand_in: Callable[..., Media], clip: Path) -> None:
    """Three attempts took two minutes."""
    script = "echo 'Error writing trailer: No space left on device' >&2; exit 228"  # as the real one says
    assert "CELERIAC_MEDIA_WORK_DIR" in await fails(stand_in(script), clip, StorageFull)


@pytest.mark.slow
async def test_the_last_words_of_ffmpeg_are_in_the_error(stand_in: Callable[..., Media], clip: Path) -> None:
    media = stand_in("echo 'Unknown encoder libx264' >&2; exit 8")
    with pytest.raises(ConversionFailed, match=r"ffmpeg.sh ended with code 8: Unknown encoder libx264"):
        await media.convert(clip, {"name": "mp4", "max_height": 60})


async def python(code: str, folder: Path, limits: Limits = LIMITS) -> str:
    output, _ = await confined.run([sys.executable, "-I", "-c", code], limits, folder)
    return output.strip()


@pytest.mark.slow
async def test_limits_of_a_converter(tmp_path: Path) -> None:
    with pytest.raises(ConversionLimited, match="CELERIAC_MEDIA_MEMORY_BYTES"):
        await python("bytearray(1 << 30)", tmp_path, Limits(memory_bytes=512 << 20, cpu_s=9, file_bytes=9, seconds=60))
    with pytest.raises(ConversionLimited, match="CELERIAC_MEDIA_CPU_SECONDS"):
        await python("while True: pass", tmp_path, Limits(memory_bytes=4 << 30, cpu_s=1, file_bytes=9, seconds=60))
    write = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); open('x', 'wb').write(bytes(2000))"
    with pytest.raises(ConversionLimited, match="CELERIAC_MAX_FILE_BYTES"):
        await python(write, tmp_path, Limits(memory_bytes=4 << 30, cpu_s=9, file_bytes=1000, seconds=60))


@pytest.mark.parametrize(
    ("command", "on_line"),
    [("exec yes", None), ("exec tr '\\0' x </dev/zero", lambda _: True)],
    ids=["an answer", "a line of progress"],
)
async def test_a_converter_that_talks_without_end_is_ended(
    tmp_path: Path, command: str, on_line: Callable[[str], bool] | None
) -> None:
    """This process once took 2.4 GB for it."""
    with pytest.raises(ConversionLimited, match=r"more than [0-9,]+ bytes, and was ended"):
        await confined.run(["/bin/sh", "-c", command], LIMITS, tmp_path, on_line=on_line)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
async def test_a_converter_dies_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from celeriac.families.media import confined\n"
        f"limits = confined.Limits(memory_bytes={4 << 30}, cpu_s=60, file_bytes=99, seconds=60)\n"
        f"command = ['/bin/sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 1000']\n"
        f"asyncio.run(confined.run(command, limits, Path('{tmp_path}')))"
    )
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    pid = await pid_in(tmp_path / "pid")
    worker.kill()
    await worker.wait()
    await eventually(lambda: not is_alive(pid), "the converter has died")


def test_what_a_killed_worker_leaves_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    job = new_id()
    with workspace(tmp_path, job) as mine:
        (mine / "half").write_text("made")
        home = mine.parent.parent
        left = home / "dead-job-x"
        (left / "work").mkdir(parents=True)
        (left / "lock").touch()
        half = home / "died-while-it-deleted"
        (half / "work").mkdir(parents=True)
        with workspace(tmp_path, new_id()) as other:
            assert not left.exists() and not half.exists()
            assert other != mine and (mine / "half").exists()
        assert sweep(home) == 0
    assert list(home.iterdir()) == []


async def test_looking_for_what_is_left_blocks_no_event_loop_and_a_look_deletes_a_few_only(tmp_path: Path) -> None:
    """With 20,000 of them, the API stood still for 50 s."""
    with workspace(tmp_path, new_id()) as mine:
        home = mine.parent.parent
    for number in range(30):
        (home / f"dead-{number}").mkdir()
        os.mkfifo(home / f"dead-{number}" / "lock")  # opening it takes until somebody reads

    async def look() -> int:
        async with workspace_in_thread(tmp_path, "look", hurry=True) as work:
            return len(list(work.parent.parent.iterdir())) - 1

    looking = asyncio.create_task(look())
    while not looking.done():
        for lock in home.glob("*/lock"):
            with suppress(OSError):  # it is gone by now
                os.close(os.open(lock, os.O_RDONLY | os.O_NONBLOCK))
        await asyncio.sleep(0)
    assert looking.result() == 20


async def test_a_job_that_is_cancelled_before_it_has_its_directory_leaves_none(tmp_path: Path) -> None:
    async def work() -> None:
        async with workspace_in_thread(tmp_path, new_id()):
            raise AssertionError("it was cancelled before")

    with workspace(tmp_path, new_id()) as mine:
        home = mine.parent.parent
        (home / "dead").mkdir()
        os.mkfifo(home / "dead" / "lock")  # opening it takes until somebody reads
        working = asyncio.create_task(work())
        await eventually(lambda: len(asyncio.all_tasks()) > 2, "it enters")
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await asyncio.to_thread((home / "dead" / "lock").read_bytes)
        gc.disable()  # which would delete it as well, now and then
        try:
            await eventually(lambda: list(home.iterdir()) == [mine.parent], "nothing else is left")
        finally:
            gc.enable()


async def test_a_full_disk_ends_the_conversion_and_leaves_the_reserve(clip: Path, tmp_path: Path) -> None:
    from celeriac.families.media import workspace as module

    with pytest.raises(StorageFull, match=r"CELERIAC_MEDIA_WORK_DIR"):
        module.check_room(tmp_path, 1 << 60)
