"""What strangers send: refused by a look at it, before ffmpeg runs, with what is wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from celeriac.families.media.errors import ConverterMissing, MediaRefused
from tests.support import media as support
from tests.support.media import Media, make, video

SECRET = "the content of another file"


@pytest.fixture
def no_ffmpeg(tmp_path: Path) -> Generator[Media]:
    """A family whose ffmpeg leaves a trace when it runs."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    program.chmod(0o755)
    with support.media(
        tmp_path,
        media_ffmpeg=str(program),
        media_also_open=[tmp_path],
        media_max_duration=100,
        media_max_pixels=1_000_000,
    ) as family:
        yield family
    assert not (tmp_path / "ran").exists()


async def refused(media: Media, file: Path, *presets: Any, name: str | None = None) -> str:
    with pytest.raises(MediaRefused) as caught:
        await media.convert(file, *presets, name=name)
    assert all(job.record.attempt == 1 for job in media.jobs.all)  # another try would not help
    assert all(job.artifacts == {} for job in media.jobs.all)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "it is a playlist"),
        ("ffconcat version 1.0\nfile '/etc/passwd'\n", "its content is text"),
        ("[playlist]\nFile1=/etc/passwd\n", "its content is text"),
        ("<?xml version='1.0'?><MPD><Period/></MPD>", "its content is text"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\n", "its content is text"),
    ],
    ids=["m3u8", "concat", "pls", "dash", "sdp"],
)
async def test_a_file_that_names_others_is_refused_whatever_its_name(
    no_ffmpeg: Media, tmp_path: Path, content: str, why: str
) -> None:
    file = tmp_path / "video.mp4"
    file.write_text(content)
    assert why in await refused(no_ffmpeg, file, "mp4")
    assert no_ffmpeg.jobs.all == []  # at the submission already


@pytest.mark.slow
async def test_a_playlist_behind_the_first_bytes_of_a_video_is_no_playlist(no_ffmpeg: Media, tmp_path: Path) -> None:
    """The demuxer is that of the sniffed type: what another one would make of the rest does not matter."""
    other = tmp_path / "other.txt"
    other.write_text(SECRET)
    for head in (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f"):
        file = tmp_path / "video.mp4"
        file.write_bytes(head + f"\n#EXTM3U\n#EXTINF:1,\nfile://{other}\n#EXT-X-ENDLIST\n".encode())
        assert "it is not a whole" in await refused(no_ffmpeg, file, "mp4")


@pytest.mark.slow
async def test_a_video_that_names_another_file_as_its_data_gets_nothing_of_it(no_ffmpeg: Media, tmp_path: Path) -> None:
    """MP4 may keep its data in another file (`dref`); nobody follows that."""
    content = video(tmp_path / "a.mp4", sound=False).read_bytes()
    entry = b"\0\0\0\x0curl \0\0\0\x01"  # the data are in this file
    assert entry in content
    path = b"\0\0\0\x0curl \0\0\0\0"
    file = tmp_path / "b.mp4"
    file.write_bytes(content.replace(entry, path))
    await refused_or_fine(no_ffmpeg, file)


async def refused_or_fine(media: Media, file: Path) -> None:
    """Looking at it may find the file fine; in any case nothing else is opened, which the whitelist of protocols and
    `enable_drefs` say, so the look must end."""
    from celeriac.families.media.probing import probe
    from celeriac.families.media.sources import local

    try:
        await probe(local(file), media.family.settings, file.parent)
    except MediaRefused:
        return


@pytest.fixture(scope="session")
def long(clips: Path) -> Path:
    """A video with its index in front."""
    return video(clips / "long.mp4", "-movflags", "+faststart", seconds=20)


async def test_a_video_that_broke_off_is_refused_with_where_it_ends(
    no_ffmpeg: Media, tmp_path: Path, long: Path
) -> None:
    """It says 20 s, and has less: 3 of 43 minutes must not pass for a conversion."""
    content = long.read_bytes()
    file = tmp_path / "cut.mp4"
    file.write_bytes(content[: len(content) // 3])
    assert "it ends early: it says that it has " in await refused(no_ffmpeg, file, "mp4")


@pytest.mark.slow
async def test_a_video_without_its_index_is_refused(no_ffmpeg: Media, tmp_path: Path, clips: Path) -> None:
    content = video(clips / "index-last.mp4").read_bytes()
    file = tmp_path / "cut.mp4"
    file.write_bytes(content[: content.rindex(b"moov")])
    assert "it is not a whole" in await refused(no_ffmpeg, file, "mp4")


@pytest.mark.slow
async def test_noise_in_a_video_is_refused(no_ffmpeg: Media, tmp_path: Path) -> None:
    file = tmp_path / "noise.mp4"
    file.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)) * 400)
    assert "it is not a whole mov file" in await refused(no_ffmpeg, file, "mp4")


@pytest.mark.slow
async def test_caps_hold_before_anything_is_decoded(no_ffmpeg: Media, tmp_path: Path, clips: Path) -> None:
    large = video(clips / "large.mp4", size="1280x800", seconds=0.2, sound=False)
    assert "1280 x 800 pixels; 1,000,000 are accepted" in await refused(no_ffmpeg, large, "mp4")
    lasting = make(clips / "lasting.wav", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "101")
    assert "it lasts 101 s; 100 s are accepted" in await refused(no_ffmpeg, lasting, "mp3")


@pytest.mark.slow
async def test_a_sound_without_a_duration_in_it_is_measured(no_ffmpeg: Media, clips: Path) -> None:
    lasting = make(clips / "lasting.aac", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "102", "-b:a", "8k")
    assert "it lasts 102 s; 100 s are accepted" in await refused(no_ffmpeg, lasting, "mp3")


@pytest.mark.slow
async def test_sound_alone_is_no_video(no_ffmpeg: Media, clips: Path) -> None:
    tone = make(clips / "tone.mp4", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac")
    assert "it has no video" in await refused(no_ffmpeg, tone, "mp4")
    wav = make(clips / "tone.wav", "-f", "lavfi", "-i", "sine=d=1")
    assert "it takes video, and the file is audio/wav" in await refused(no_ffmpeg, wav, "thumbnail")


def png(width: int, height: int) -> bytes:
    """A PNG of some bytes that says it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


async def test_an_image_with_too_many_pixels_is_refused_by_its_header(no_ffmpeg: Media, tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png(60_000, 60_000))
    assert "60000 x 60000 pixels; 100,000,000 are accepted" in await refused(no_ffmpeg, file, "webp")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["webp", "jpeg"])
async def test_a_broken_image_is_refused(no_ffmpeg: Media, tmp_path: Path, preset: str) -> None:
    file = tmp_path / "broken.png"
    file.write_bytes(png(400, 400))
    assert "it is broken" in await refused(no_ffmpeg, file, preset)


@pytest.mark.slow
async def test_a_page_that_is_deep_ends(no_ffmpeg: Media, tmp_path: Path) -> None:
    file = tmp_path / "deep.html"
    file.write_text("<html>" + "<div><ul><li>" * 5000 + "text" + "<table><tr><td>" * 5000)
    (output,) = await no_ffmpeg.convert(file, "pdf")
    assert output["detail"] == "1 page"


@pytest.mark.slow
async def test_a_page_with_too_many_parts_is_refused(no_ffmpeg: Media, tmp_path: Path) -> None:
    file = tmp_path / "wide.html"
    file.write_text("<html>" + "<br>" * 300_000)
    assert "it has more than 200,000 parts" in await refused(no_ffmpeg, file, "pdf")


async def test_office_documents_need_libreoffice_and_say_so(tmp_path: Path, media: Media, monkeypatch: Any) -> None:
    monkeypatch.setattr("celeriac.families.media.programs._PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "letter.rtf"
    file.write_text(r"{\rtf1 hello}")
    with pytest.raises(ConverterMissing, match=r"office documents need LibreOffice, .*CELERIAC_MEDIA_SOFFICE"):
        await media.convert(file, "pdf")


async def test_without_any_ffmpeg_the_error_names_both_ways_to_get_one(
    media: Media, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("celeriac.families.media.programs.find_spec", lambda _name: None)
    with pytest.raises(ConverterMissing, match=r"apt install ffmpeg.*celeriac\[ffmpeg\].*CELERIAC_MEDIA_FFMPEG"):
        await media.convert(clip, "mp4")


async def test_an_office_document_has_a_largest_size(tmp_path: Path) -> None:
    file = tmp_path / "large.rtf"
    file.write_bytes(b"{\\rtf1 " + b"x" * 5000 + b"}")
    with support.media(tmp_path, media_max_office_bytes=1000) as media:
        from celeriac.families.media.probing import probe
        from celeriac.families.media.sources import local

        with pytest.raises(MediaRefused, match=r"5,008 bytes; 1,000 are accepted \(CELERIAC_MEDIA_MAX_OFFICE_BYTES"):
            await probe(local(file), media.family.settings, tmp_path)
