"""What is asked of ffmpeg, from facts and presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from celeriac.families.media import encoding
from celeriac.families.media.confined import Limits
from celeriac.families.media.model import LocalFile, MediaFacts, StreamFacts
from celeriac.families.media.presets import HlsPreset, VideoPreset
from celeriac.families.media.settings import MediaSettings
from celeriac.families.media.sounds import normalization
from celeriac.families.media.toolbox import FFMPEG, Toolbox, tolerance
from celeriac.families.media.videos import compliant, passes_of


def picture(**changes: Any) -> StreamFacts:
    given = {"width": 1920, "height": 1080, "fps": 25.0, "codec": "h264", "pixel_format": "yuv420p", "profile": "High"}
    return StreamFacts.model_validate({"index": 0, "type": "video", **given, **changes})


def sound(**changes: Any) -> StreamFacts:
    given = {"codec": "aac", "channels": 2, "sample_rate": 48000, "bit_rate": 128_000}
    return StreamFacts.model_validate({"index": 1, "type": "audio", **given, **changes})


def facts(*streams: StreamFacts, **changes: Any) -> MediaFacts:
    given = {"category": "video", "content_type": "video/mp4", "size": 1000, "format": "mov", "duration": 60.0}
    return MediaFacts.model_validate({**given, "streams": list(streams), **changes})


def box(found: MediaFacts) -> Toolbox:
    source = LocalFile(Path("/files/in.mp4"), "in.mp4", found.content_type, found.size)
    limits = Limits(memory_bytes=1, cpu_s=1, file_bytes=1, seconds=1)
    return Toolbox(own=MediaSettings(), source=source, facts=found, work=Path("/made"), limits=limits)


@pytest.mark.parametrize(
    ("stream", "height", "size"),
    [
        (picture(), 720, (1280, 720)),
        (picture(), 2160, (1920, 1080)),  # never larger than the source
        (picture(width=1080, height=1920), 720, (720, 1280)),  # upright: the shorter side is bounded
        (picture(rotation=90), 720, (720, 1280)),
        (picture(width=720, height=576, aspect=16 / 15), 576, (768, 576)),  # square pixels
        (picture(width=641, height=361), 1080, (640, 360)),  # even
        (picture(width=1, height=1), 1080, (2, 2)),
    ],
)
def test_sizes(stream: StreamFacts, height: int, size: tuple[int, int]) -> None:
    assert encoding.size_for(stream, height) == size


@pytest.mark.parametrize(
    ("source", "heights"),
    [
        (2160, [1080, 720, 480, 360, 240]),
        (720, [720, 480, 360, 240]),
        (480, [480, 360, 240]),
        (300, [300, 240]),
        (240, [240, 120]),
        (100, [100, 50]),
    ],
)
def test_a_ladder_has_two_to_five_steps_and_none_above_the_source(source: int, heights: list[int]) -> None:
    assert encoding.ladder(picture(width=source * 16 // 9, height=source), HlsPreset().heights) == heights


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "hevc"},
        {"pixel_format": "yuv420p10le"},
        {"profile": "High 10"},
        {"height": 2160, "width": 3840},
        {"rotation": 90},
        {"aspect": 1.5},
    ],
)
def test_what_differs_is_encoded_anew(change: dict[str, Any]) -> None:
    assert compliant(box(facts(picture(), sound())), VideoPreset())
    found = facts(picture(**change), sound())
    assert encoding.differences(found, VideoPreset())
    assert not compliant(box(found), VideoPreset())


def test_a_bitrate_above_the_presets_is_encoded_anew() -> None:
    found = facts(picture(bit_rate=9_000_000), sound())
    assert not encoding.differences(found, VideoPreset())
    assert encoding.differences(found, VideoPreset(max_bitrate=4_000_000))


def test_sound_and_container_count_too() -> None:
    assert not compliant(box(facts(picture(), sound(codec="mp3"))), VideoPreset())
    assert not compliant(box(facts(picture(), sound(channels=6))), VideoPreset())
    assert not compliant(box(facts(picture(), sound(), content_type="video/x-matroska")), VideoPreset())


def test_the_source_is_opened_with_one_demuxer_and_no_protocol_but_files() -> None:
    (arguments,) = passes_of(box(facts(picture(), sound(codec="mp3"))), VideoPreset(), picture(), Path("/made/out.mp4"))
    before, after = arguments[: arguments.index("-i")], arguments[arguments.index("-i") + 1 :]
    assert tuple(before[: len(FFMPEG)]) == FFMPEG
    for option, value in (("-protocol_whitelist", "file"), ("-f", "mov"), ("-max_pixels", "40000000")):
        assert before[before.index(option) + 1] == value
    assert after[0] == "file:/files/in.mp4"
    assert arguments.count("-i") == 1
    assert [after[n + 1] for n, one in enumerate(after) if one == "-map"] == ["0:0", "0:1"]
    assert after[after.index("-map_metadata") + 1] == "-1"
    assert after[-1] == "/made/out.mp4"


def test_a_bitrate_takes_two_passes_and_quality_one() -> None:
    source = box(facts(picture(), sound()))
    first, second = passes_of(source, VideoPreset(bitrate=2_000_000), picture(), Path("/made/out.mp4"))
    assert first[first.index("-pass") + 1] == "1" and first[-2:] == ["null", "-"]
    assert second[second.index("-pass") + 1] == "2" and "-crf" not in second
    (only,) = passes_of(source, VideoPreset(crf=20), picture(), Path("/made/out.mp4"))
    assert only[only.index("-crf") + 1] == "20" and "-pass" not in only


@pytest.mark.parametrize(
    ("fps", "most", "pictures"), [(25, None, "125"), (60, 30, "150"), (0, None, "125"), (0.1, None, "1")]
)
def test_pictures_that_stand_for_themselves_come_every_five_seconds(
    fps: float, most: float | None, pictures: str
) -> None:
    for container, codec in (("mp4", "h264"), ("webm", "vp9"), ("webm", "av1")):
        preset = VideoPreset.model_validate({"container": container, "codec": codec, "max_fps": most})
        for arguments in passes_of(box(facts(picture())), preset, picture(fps=fps), Path("/made/out")):
            assert arguments[arguments.index("-g") + 1] == pictures
    (copied,) = passes_of(box(facts(picture())), VideoPreset(), picture(), Path("/made/out.mp4"), copy=True)
    assert "-g" not in copied


def test_an_output_may_differ_by_one_percent_or_some_frames() -> None:
    assert (tolerance(2.0), tolerance(43 * 60.0), tolerance(None)) == (0.25, 25.8, 0.25)


MEASURED = """
[Parsed_loudnorm_0 @ 0x1]
{
    "input_i" : "-27.61", "input_tp" : "-4.47", "input_lra" : "18.06", "input_thresh" : "-39.20",
    "output_i" : "-16.58", "normalization_type" : "dynamic", "target_offset" : "0.58"
}
"""


def test_the_second_pass_gets_what_the_first_has_measured() -> None:
    filters, detail = normalization(MEASURED, -16)
    assert filters.startswith("loudnorm=I=-16:TP=-1.5:LRA=11:measured_I=-27.61:measured_TP=-4.47:measured_LRA=18.06:")
    assert filters.endswith("offset=0.58:linear=true")
    assert detail == "loudness -27.61 to -16 LUFS"


@pytest.mark.parametrize("told", ["", "no JSON", MEASURED.replace('"-27.61"', '"-inf"')])
def test_what_has_no_loudness_stays_as_it_is(told: str) -> None:
    assert normalization(told, -16)[0] == ""
