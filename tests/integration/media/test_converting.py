"""Each kind of preset makes what it says, with the real converters, and never more than the source has."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from pathlib import Path

import av
import m3u8
import pytest
from PIL import Image

from celeriac.core.errors import StorageFull
from celeriac.families.media.errors import OutputFaulty
from celeriac.families.media.sounds import normalization
from tests.support import media as support
from tests.support.media import COLOURS, Media, make, program, streams_of, video
from tests.support.slow import quick_first


async def test_an_mp4_and_a_thumbnail_of_one_video_with_progress(media: Media, clip: Path) -> None:
    before = hashlib.sha256(clip.read_bytes()).hexdigest()
    outputs = await media.convert(clip, {"name": "mp4", "max_height": 60}, "thumbnail")
    assert [output["state"] for output in outputs] == ["made"] * 2
    found = streams_of(media.folder / "clip.mp4")
    assert found == {"duration": 2.0, "video": "h264", "audio": "aac", "size": (106, 60)}
    with Image.open(media.folder / "clip-thumbnail.jpg") as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (160, 90))  # never scaled up to 640
    (uploaded,) = (media.app.storage.location.folder or clip).glob("uploads/parts/*/*")  # it came in one
    assert hashlib.sha256(uploaded.read_bytes()).hexdigest() == before  # the source is untouched

    told = media.last.progress
    percents = [progress.done for progress in told]
    assert percents == sorted(percents) and percents[-1] == 100
    assert any("x, " in progress.message and "left" in progress.message for progress in told)
    publishing = {progress.message for progress in told if "publishing" in progress.message}
    assert publishing == {"mp4: publishing clip.mp4", "thumbnail: publishing clip-thumbnail.jpg"}


@pytest.mark.slow
async def test_a_file_in_a_bucket_is_fetched_first(tmp_path: Path, bucket_url: str) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(photograph(1))
    with support.media(tmp_path, storage=bucket_url) as media:
        (output,) = await media.convert(source, "png")
        assert output["detail"] == "80 x 40"
        assert any(progress.message == "fetching" for progress in media.last.progress)
    assert list((tmp_path / "work").glob("*/*")) == []


@pytest.mark.slow
async def test_a_file_in_a_bucket_is_not_fetched_when_the_disk_has_no_room_for_it(
    tmp_path: Path, bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(photograph(1))
    room = shutil.disk_usage(tmp_path)._replace(free=source.stat().st_size - 1)
    with support.media(tmp_path, storage=bucket_url) as media:
        upload = await media.upload(source)
        monkeypatch.setattr("celeriac.families.media.workspace.shutil.disk_usage", lambda _folder: room)
        await media.submit_upload(upload, "png")
        assert isinstance(media.last.error, StorageFull) and "CELERIAC_MEDIA_WORK_DIR" in str(media.last.error)
        assert not any(progress.message == "fetching" for progress in media.last.progress)


@pytest.mark.slow
async def test_a_preview_moves(media: Media, clip: Path) -> None:
    await media.convert(clip, "preview")
    with Image.open(media.folder / "clip-preview.webp") as preview:
        assert preview.size == (160, 90) and getattr(preview, "n_frames", 1) > 4


@pytest.mark.parametrize(
    "case",
    quick_first(
        [
            ({"name": "mp4", "bitrate": 300_000, "max_height": 60}, {"video": "h264", "audio": "aac"}),
            ("webm", {"video": "vp9", "audio": "opus"}),
            ("webm-av1", {"video": "av1", "audio": "opus"}),
            ({"name": "webm-av1", "bitrate": 200_000}, {"video": "av1", "audio": "opus"}),
            ("mp3", {"audio": "mp3"}),
            ("opus", {"audio": "opus"}),
            ("m4a", {"audio": "aac"}),
        ],
        quick=0,
    ),
)
async def test_codecs(media: Media, clip: Path, case: tuple[object, dict[str, str]]) -> None:
    preset, expected = case
    if "av1" in str(preset) and "libsvtav1" not in subprocess.check_output([program(), "-encoders"], text=True):
        pytest.skip("this ffmpeg has no encoder for AV1, as celeriac doctor says")
    (output,) = await media.convert(clip, preset)
    found = streams_of(media.folder / output["files"][0])
    assert {kind: found.get(kind) for kind in expected} == expected
    assert abs(found["duration"] - 2) <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    [{"name": "mp4"}, {"name": "mp4", "bitrate": 100_000}, {"name": "webm"}, {"name": "webm", "bitrate": 100_000}],
)
async def test_a_player_can_begin_every_five_seconds(media: Media, clips: Path, preset: dict[str, object]) -> None:
    source = video(clips / "twelve.mkv", seconds=12, sound=False)
    (output,) = await media.convert(source, {**preset, "max_height": 60})
    with av.open(str(media.folder / output["files"][0])) as container:
        begins = [
            float((packet.pts or 0) * packet.time_base) for packet in container.demux(video=0) if packet.is_keyframe
        ]
    assert [round(begin) for begin in begins] == [0, 5, 10]


@pytest.mark.slow
async def test_streams_that_fit_are_copied_and_a_file_that_fits_is_left_alone(media: Media, clip: Path) -> None:
    (copied,) = await media.convert(clip, "mp4")
    assert copied["detail"] == "160 x 90, copied"
    (compliant,) = await media.convert(media.folder / "clip.mp4", "mp4")
    assert (compliant["state"], compliant["files"]) == ("compliant", [])
    assert media.last.artifacts == {}


async def test_a_ladder_is_valid_and_each_rendition_is_whole(media: Media, clip: Path) -> None:
    (output,) = await media.convert(clip, {"name": "hls", "heights": [720, 80, 60], "segment_seconds": 1})
    assert output["files"] == [
        "clip.m3u8",
        *("clip-hls-80p.m3u8", "clip-hls-80p.mp4"),
        *("clip-hls-60p.m3u8", "clip-hls-60p.mp4"),
    ]
    master = m3u8.loads((media.folder / "clip.m3u8").read_text())
    assert master.is_variant
    assert [one.stream_info.resolution for one in master.playlists] == [(142, 80), (106, 60)]
    assert all(
        one.stream_info.codecs.startswith("avc1.64") and "mp4a.40.2" in one.stream_info.codecs
        for one in master.playlists
    )
    starts = set()
    for one in master.playlists:
        playlist = m3u8.loads((media.folder / one.uri).read_text())
        assert playlist.is_endlist and playlist.playlist_type == "vod"
        assert abs(sum(segment.duration for segment in playlist.segments) - 2) < 0.1
        file = media.folder / playlist.segments[0].uri
        sizes = [int(segment.byterange.partition("@")[0]) for segment in playlist.segments]
        (begin,) = list(playlist.segment_map)
        assert int(begin.byterange.partition("@")[0]) + sum(sizes) <= file.stat().st_size
        assert streams_of(file)["size"] == one.stream_info.resolution
        starts.add(tuple(round(segment.duration, 1) for segment in playlist.segments))
    assert len(starts) == 1  # a player may change the rendition at each segment


@pytest.mark.slow
async def test_a_sprite_shows_each_moment_where_its_cue_says(media: Media, clips: Path) -> None:
    source = make(clips / "colours.mp4", "-filter_complex", COLOURS, "-pix_fmt", "yuv420p")
    (output,) = await media.convert(source, {"name": "sprite", "every": 1, "columns": 2, "width": 80})
    assert output["files"] == ["colours-sprite.jpg", "colours-sprite.vtt"]
    cues = (media.folder / "colours-sprite.vtt").read_text().split("\n\n")[1:]
    assert [cue.splitlines()[0][:12] for cue in cues] == ["00:00:00.000", "00:00:01.000", "00:00:02.000"]
    with Image.open(media.folder / "colours-sprite.jpg") as sheet:
        for cue, expected in zip(cues, ("r", "g", "b"), strict=True):
            name, _, place = cue.splitlines()[1].partition("#xywh=")
            left, top, width, height = map(int, place.split(","))
            assert name == "colours-sprite.jpg" and left + width <= sheet.width and top + height <= sheet.height
            pixel = sheet.convert("RGB").getpixel((left + width // 2, top + height // 2))
            assert isinstance(pixel, tuple)
            assert "rgb"[pixel.index(max(pixel))] == expected, (cue, pixel)


@pytest.mark.slow
async def test_a_turned_video_stays_upright(media: Media, clips: Path) -> None:
    flat = video(clips / "flat.mp4", sound=False)
    turned = make(clips / "turned.mp4", "-display_rotation", "90", "-i", str(flat), "-c", "copy")
    await media.convert(turned, {"name": "mp4", "max_height": 60}, "thumbnail")
    assert streams_of(media.folder / "turned.mp4")["size"] == (60, 106)
    with Image.open(media.folder / "turned-thumbnail.jpg") as thumbnail:
        assert thumbnail.size == (90, 160)


@pytest.mark.slow
async def test_a_loud_sound_and_a_quiet_one_end_up_alike(media: Media, clips: Path) -> None:
    """Normalization in two passes: what ffmpeg measures of the outputs differs by less than 1 LU."""
    measured: list[float] = []
    for volume in ("0.9", "0.05"):
        tone = f"sine=300:d=4:r=48000,volume={volume},tremolo=f=2"
        source = make(clips / f"tone-{volume}.wav", "-f", "lavfi", "-i", tone)
        (output,) = await media.convert(source, "m4a")
        listen = ["-i", str(media.folder / output["files"][0]), "-af", "loudnorm=print_format=json", "-f", "null", "-"]
        told = subprocess.run([program(), "-nostdin", *listen], capture_output=True, text=True).stderr
        measured.append(float(normalization(told, -16)[1].split()[1]))
    assert all(abs(loudness + 16) < 1 for loudness in measured), measured


@pytest.mark.slow
async def test_silence_has_no_loudness(media: Media, clips: Path) -> None:
    source = make(clips / "silence.wav", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", "1")
    (output,) = await media.convert(source, "m4a")
    assert output["detail"].startswith("silent")


def photograph(orientation: int) -> bytes:
    """A JPEG whose upper half is red and whose left quarter of that is white, with a place in its EXIF data."""
    image = Image.new("RGB", (80, 40), "blue")
    image.paste("red", (0, 0, 80, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "secret description"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, comment=b"secret comment", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("to", quick_first(["webp", "avif", "png", "jpeg"]))
async def test_an_image_is_upright_and_says_nothing_of_where_it_was_taken(
    media: Media, tmp_path: Path, to: str
) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(photograph(6))  # to be turned right: its left side becomes its upper side
    assert b"secret" in source.read_bytes()
    (output,) = await media.convert(source, {"name": to, "width": 20})
    made = media.folder / output["files"][0]
    with Image.open(made) as image:
        assert image.size == (20, 40)
        pixels = [image.convert("RGB").getpixel(place) for place in ((17, 20), (3, 20))]
        assert len(image.getexif()) == 0
        assert not {"exif", "icc_profile", "comment", "xmp"} & image.info.keys()
    red, blue = pixels
    assert isinstance(red, tuple) and isinstance(blue, tuple)
    assert red[0] > 150 > red[2] and blue[2] > 150 > blue[0], pixels
    assert b"secret" not in made.read_bytes() and b"Exif" not in made.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({"width": 20, "height": 20}, (20, 10)),
        ({"width": 20, "height": 20, "crop": True}, (20, 20)),
        ({"width": 1000, "height": 1000}, (80, 40)),
        ({"width": 1000, "height": 20, "crop": True}, (80, 20)),
        ({"box": [0, 0, 10, 20]}, (10, 20)),
    ],
)
async def test_sizes_of_images(media: Media, tmp_path: Path, change: dict[str, object], size: tuple[int, int]) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(photograph(1))
    await media.convert(source, {"name": "png", **change})
    with Image.open(media.folder / "photo.png") as image:
        assert image.size == size


@pytest.mark.slow
async def test_sixteen_bits_of_grey_keep_their_tones(media: Media, tmp_path: Path) -> None:
    image = Image.new("I;16", (256, 4))
    image.putdata([value * 256 for value in range(256)] * 4)
    image.save(tmp_path / "grey.png")
    await media.convert(tmp_path / "grey.png", "png")
    with Image.open(media.folder / "grey.png") as made:
        assert [made.convert("L").getpixel((value, 2)) for value in (0, 64, 128, 255)] == [0, 64, 128, 255]


async def test_markdown_becomes_a_pdf_with_its_text_and_nothing_of_the_machine(media: Media, tmp_path: Path) -> None:
    import pypdfium2

    source = tmp_path / "notes.md"
    source.write_text(
        '# Title\n\n#read("/etc/hostname") and *emphasis*.\n\n| a | b |\n|---|--:|\n| x | 12 |\n\n![chart](file:///etc/hostname)\n'
    )
    (output,) = await media.convert(source, "pdf")
    assert output["detail"] == "1 page"
    with pypdfium2.PdfDocument(media.folder / "notes.pdf") as document:
        text = document[0].get_textpage().get_text_bounded()
    for part in ("Title", '#read("/etc/hostname")', "emphasis", "12", "[chart]"):
        assert part in text, text


async def test_letters_that_no_font_has_are_named(media: Media, tmp_path: Path) -> None:
    source = tmp_path / "letters.md"
    source.write_text("# Ж ελ 日本語 مرحبا\n\n\U00012000")  # the last is cuneiform
    (output,) = await media.convert(source, "pdf")
    assert output["detail"] == "1 page; no font has '\U00012000', which shows as a box, and maybe more"
    source.write_text("# Ж ελ 日本語 مرحبا")
    (output,) = await media.convert(source, "pdf")
    assert output["detail"] == "1 page"


#: In place of LibreOffice, which few machines of developers have: copies a PDF, and says how it was called.
OFFICE = """#!/bin/sh
echo "$@" > {here}/called
while [ $# -gt 1 ]; do [ "$1" = --outdir ] && out=$2; shift; done
cp {here}/ready.pdf "$out/$(basename "$1" .rtf).pdf"
"""


async def test_an_office_document_goes_through_libreoffice_with_a_profile_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "soffice"
    program.write_text(OFFICE.format(here=tmp_path))
    program.chmod(0o755)
    ready = tmp_path / "ready.md"
    ready.write_text("# Ready")
    letter = tmp_path / "letter.rtf"
    letter.write_text(r"{\rtf1 hello}")
    with support.media(tmp_path, media_soffice=str(program), media_also_open=[tmp_path]) as media:
        await media.convert(ready, "pdf")
        shutil.copyfile(media.folder / "ready.pdf", tmp_path / "ready.pdf")
        (output,) = await media.convert(letter, "pdf")
        assert (output["files"], output["detail"]) == (["letter.pdf"], "1 page")
        called = (tmp_path / "called").read_text()
        assert "--headless" in called and "-env:UserInstallation=file://" in called
        (tmp_path / "ready.pdf").write_bytes(b"%PDF-1.7 nothing")
        with pytest.raises(OutputFaulty, match="the PDF that was made cannot be read"):
            await media.convert(letter, "pdf")
