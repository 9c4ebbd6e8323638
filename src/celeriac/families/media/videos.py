"""Makes videos: in one pass by quality, or in two to a bitrate. Streams that fit already are copied."""

from __future__ import annotations

from pathlib import Path

from celeriac.families.media import encoding
from celeriac.families.media.errors import MediaRefused
from celeriac.families.media.model import StreamFacts
from celeriac.families.media.presets import VideoPreset
from celeriac.families.media.progress import Report, part
from celeriac.families.media.toolbox import FFMPEG, Toolbox

_PROOF_FROM = 97.0
_DEMUXERS = {"mp4": "mov", "webm": "matroska"}


def compliant(box: Toolbox, preset: VideoPreset) -> bool:
    """Whether the source is what the preset would make."""
    facts = box.facts
    return (
        facts.video is not None
        and not facts.has_place
        and encoding.container_fits(facts.content_type, preset)
        and not encoding.differences(facts, preset)
        and encoding.audio_fits(facts, preset)
    )


async def make_video(box: Toolbox, preset: VideoPreset, made: Path, report: Report) -> str:
    """Make the video, prove that it is whole, and say how it was made."""
    stream = picture_of(box)
    different = encoding.differences(box.facts, preset)
    passes = passes_of(box, preset, stream, made, copy=not different)
    for number, arguments in enumerate(passes):
        begin, end = (_PROOF_FROM * n / len(passes) for n in (number, number + 1))
        await box.ffmpeg(arguments, box.duration, part(report, begin, end))
    report(_PROOF_FROM, "checking")
    whole_picture = 1 / preset.max_fps if preset.max_fps else 0.0
    await box.prove(made, _DEMUXERS[preset.container], box.ends(), box.duration, slack=whole_picture)
    width, height = encoding.size_for(stream, preset.max_height)
    how = "copied" if not different else "two passes" if len(passes) == 2 else "encoded"
    return f"{width} x {height}, {how}"


def passes_of(
    box: Toolbox, preset: VideoPreset, stream: StreamFacts, made: Path, *, copy: bool = False
) -> list[list[str]]:
    """The arguments of each run of ffmpeg."""
    size = encoding.size_for(stream, preset.max_height)
    begin = [*FFMPEG, *box.input(), *encoding.maps(box.facts)]
    video = ["-c:v", "copy"]
    if not copy:
        video = ["-vf", encoding.filters(stream, size, preset.max_fps), *encoding.video_coding(preset, stream.fps)]
    sound = _sound(box, preset)
    output = [*(["-movflags", "+faststart"] if preset.container == "mp4" else []), "-f", preset.container, str(made)]
    if copy or preset.bitrate is None or preset.codec == "av1":  # whose encoder has one pass here
        return [[*begin, *video, *sound, *output]]
    log = ["-passlogfile", str(box.work / "passes")]
    return [
        [*begin, *video, "-pass", "1", *log, "-an", "-f", "null", "-"],
        [*begin, *video, "-pass", "2", *log, *sound, *output],
    ]


def picture_of(box: Toolbox) -> StreamFacts:
    """The video stream.

    Raises:
        MediaRefused: there is none.
    """
    if box.facts.video is None:
        raise MediaRefused(f"{box.source.name!r} cannot be converted: it has no video")
    return box.facts.video


def _sound(box: Toolbox, preset: VideoPreset) -> list[str]:
    stream = box.facts.audio
    if stream is None:
        return ["-an"]
    if encoding.audio_fits(box.facts, preset):
        return ["-c:a", "copy"]
    return encoding.audio_coding(preset.container, preset.audio_bitrate, stream)
