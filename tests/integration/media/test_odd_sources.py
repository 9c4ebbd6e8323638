"""Sources that are whole and unusual come out right: lengths, clocks, colours, fields, notes, a single picture."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from celeriac.families.media.errors import MediaRefused
from tests.support.media import Media, make, streams_of, video

pytestmark = pytest.mark.slow

SMALL = {"name": "mp4", "max_height": 60, "effort": "fast"}
LADDER = {"name": "hls", "heights": [60, 40], "segment_seconds": 1}
SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nhello\n\n2\n00:00:09,000 --> 00:00:12,000\nbye\n"


@pytest.fixture(scope="session")
def sources(clips: Path) -> dict[str, Path]:
    """One video of 2 s, in ways that have misled programs."""
    plain = video(clips / "plain.mp4")
    subtitles = clips / "long.srt"
    subtitles.write_text(SUBTITLES)
    copy = ("-c", "copy")
    tape = make(clips / "tape.ts", "-i", str(plain), *copy)
    twice = clips / "twice.ts"
    twice.write_bytes(tape.read_bytes() * 2)
    both = ("-i", str(plain), "-itsoffset", "1", "-i", str(plain), "-map", "0:v", "-map", "1:a", *copy)
    return {
        "subtitles that last longer": make(
            clips / "subtitles.mkv", "-i", str(plain), "-i", str(subtitles), "-map", "0", "-map", "1", *copy
        ),
        "a clock that starts at 5 s": make(clips / "at5.mkv", "-itsoffset", "5", "-i", str(plain), *copy, "-copyts"),
        "a clock that starts anew": twice,
        "a clock that overflows": make(clips / "overflow.ts", "-i", str(plain), *copy, "-output_ts_offset", "95441.5"),
        "a sound that begins later": make(clips / "later.mkv", *both),
    }


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("subtitles that last longer", 2),
        ("a clock that starts at 5 s", 2),
        ("a clock that starts anew", 4),
        ("a clock that overflows", 2),
        ("a sound that begins later", 3),
    ],
)
@pytest.mark.parametrize("preset", [SMALL, LADDER, "mp3"], ids=["mp4", "hls", "mp3"])
async def test_lengths_and_clocks(
    media: Media, sources: dict[str, Path], name: str, seconds: float, preset: Any
) -> None:
    (output,) = await media.convert(sources[name], preset)
    made = next(file for file in output["files"] if not file.endswith(".m3u8"))
    assert abs(streams_of(media.folder / made)["duration"] - seconds) < 0.4


async def test_a_sound_keeps_its_place_beside_the_pictures(media: Media, sources: dict[str, Path]) -> None:
    """Fragments of HLS begin at 0: the second before the sound is filled with silence, and not cut off."""
    (output,) = await media.convert(sources["a sound that begins later"], LADDER)
    with av.open(str(media.folder / output["files"][2])) as container:
        frames = [(frame.time or 0.0, loudest(frame)) for frame in container.decode(audio=0)]
    assert max(loud for time, loud in frames if time < 0.9) < 0.01
    assert max(loud for time, loud in frames if time > 1.2) > 0.05


def loudest(frame: av.AudioFrame) -> float:
    assert frame.format.name == "fltp"
    samples = array("f", bytes(frame.planes[0]))[: frame.samples]
    return max(map(abs, samples))


async def test_a_track_without_content_is_left_out(media: Media, clips: Path) -> None:
    pictures, tone = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=2"), ("-f", "lavfi", "-i", "sine=d=2:r=48000")
    coding = ("-frames:v", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
    source = make(clips / "no-content.mkv", *pictures, *tone, *coding)  # so short that its sound has no full packet
    (output,) = await media.convert(source, SMALL)
    assert "audio" not in streams_of(media.folder / output["files"][0])
    with pytest.raises(MediaRefused, match="it has no sound"):
        await media.convert(source, "mp3")


@pytest.mark.parametrize("preset", [SMALL, LADDER, "thumbnail", "sprite", "preview"], ids=str)
async def test_a_single_picture_is_a_video(media: Media, clips: Path, preset: Any) -> None:
    source = video(clips / "single.mp4", "-frames:v", "1", sound=False)
    (output,) = await media.convert(source, preset)
    assert output["state"] == "made"


async def test_the_last_picture_of_one_a_second_may_end_after_the_source(media: Media, clips: Path) -> None:
    source = video(clips / "half.mkv", seconds=2.5)
    (output,) = await media.convert(source, {"name": "mp4", "max_fps": 1})
    assert output["detail"] == "160 x 90, encoded"


async def test_two_fields_become_one_picture(media: Media, clips: Path) -> None:
    fields = ("-vf", "interlace=scan=tff", "-x264opts", "tff=1")
    source = video(clips / "fields.mkv", *fields, size="160x96", sound=False)
    (output,) = await media.convert(source, "mp4")
    assert output["detail"] == "160 x 96, encoded"
    with av.open(str(media.folder / output["files"][0])) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


async def test_hdr_becomes_what_common_screens_show(media: Media, clips: Path) -> None:
    colours = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:log-level=none"
    tags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    ten_bits = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", colours, *tags)
    source = video(clips / "hdr.mp4", *ten_bits, sound=False)
    (output,) = await media.convert(source, "mp4")
    with av.open(str(media.folder / output["files"][0])) as container:
        codec: Any = container.streams.video[0].codec_context
        assert (codec.pix_fmt, codec.color_trc, codec.color_primaries) == ("yuv420p", 1, 1)


async def test_notes_of_a_place_and_chapters_are_left_out_of_a_copy(media: Media, clips: Path, tmp_path: Path) -> None:
    """A video that fits is left alone; one that says where it was taken does not fit."""
    notes = tmp_path / "notes"
    notes.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\ntitle=secret \x1b[31m\n")
    plain = video(clips / "without-notes.mp4")
    told = ("-map_metadata", "0", "-map_chapters", "1", "-metadata", "location=+48.1374+011.5755/", "-c", "copy")
    source = make(tmp_path / "noted.mp4", "-i", str(plain), "-i", str(notes), *told)
    assert b"loci" in source.read_bytes() and b"secret" in source.read_bytes()
    (output,) = await media.convert(source, "mp4")
    assert output["detail"] == "160 x 90, copied"
    made = (media.folder / "noted.mp4").read_bytes()
    assert b"loci" not in made and b"secret" not in made
    (fits,) = await media.convert(plain, "mp4")
    assert fits["state"] == "compliant"


@pytest.mark.parametrize("to", ["webp", "jpeg", "avif"])
async def test_an_image_that_is_too_wide_for_a_format_says_so(media: Media, tmp_path: Path, to: str) -> None:
    source = tmp_path / "wide.png"
    Image.new("L", (70_000, 2)).save(source)
    with pytest.raises(MediaRefused, match=f"70000 x 2 pixels, and a side has at most .* in {to}"):
        await media.convert(source, to)
    (output,) = await media.convert(source, {"name": to, "width": 7000})
    assert output["detail"] == "7000 x 1"


async def test_frames_are_not_counted_for_long(media: Media, tmp_path: Path) -> None:
    frame = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    source = tmp_path / "frames.gif"
    source.write_bytes(b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 1_000_000 + b";")
    with pytest.raises(MediaRefused, match="so many frames that they cannot be counted in a second"):
        await media.convert(source, "webp")


async def test_ten_thousand_streams_are_refused(media: Media, tmp_path: Path) -> None:
    def element(name: str, content: bytes) -> bytes:
        return bytes.fromhex(name) + b"\x01" + len(content).to_bytes(7, "big") + content

    tracks = b"".join(
        element("ae", element("d7", number) + element("73c5", number) + element("83", b"\2") + element("86", b"A_OPUS"))
        for number in (n.to_bytes(3, "big") for n in range(1, 10_001))
    )
    source = tmp_path / "streams.mkv"
    head = element("1a45dfa3", element("4282", b"matroska"))
    cluster = element("1f43b675", element("e7", b"\0") + element("a3", b"\x81\0\0\x80" + bytes(100)))
    source.write_bytes(head + element("18538067", element("1654ae6b", tracks) + cluster))
    with pytest.raises(MediaRefused, match=r"it has [\d,]+ streams; 32 are accepted"):
        await media.convert(source, "mp3")
