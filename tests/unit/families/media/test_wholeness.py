"""Files that broke off are found by the sizes that they state."""

from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.families.media.wholeness import missing


def box(kind: bytes, content: bytes = b"", *, wide: bool = False) -> bytes:
    if wide:
        return b"\0\0\0\1" + kind + (len(content) + 16).to_bytes(8, "big") + content
    return (len(content) + 8).to_bytes(4, "big") + kind + content


MP4 = box(b"ftyp", b"isom") + box(b"moov", bytes(50)) + box(b"mdat", bytes(500), wide=True)
MKV = b"\x1a\x45\xdf\xa3\x84" + bytes(4) + b"\x18\x53\x80\x67\x41\xf4" + bytes(500)
WAV = b"RIFF" + (500).to_bytes(4, "little") + bytes(500)


@pytest.mark.parametrize(("whole", "demuxer"), [(MP4, "mov"), (MKV, "matroska"), (WAV, "wav"), (WAV, "avi")])
@pytest.mark.parametrize("twentieths", range(1, 20))
def test_a_file_that_was_cut_is_not_whole(tmp_path: Path, whole: bytes, demuxer: str, twentieths: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(whole)
    assert missing(file, demuxer) == ""
    file.write_bytes(whole[: len(whole) * twentieths // 20])
    assert missing(file, demuxer).startswith("it ends early: it says that it has ")


@pytest.mark.parametrize(
    ("content", "demuxer"),
    [
        (MP4 + b"PK\3\4" + bytes(30), "mov"),  # another program's: no box of this format
        (box(b"ftyp") + b"\0\0\0\0mdat" + bytes(30), "mov"),  # to the end of the file
        (box(b"ftyp") + b"\0\0\0\3moov", "mov"),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(9), "matroska"),  # live
        (b"\x1a\x45\xdf\xa3\x84", "matroska"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"RIFF\xff\xff\xff\xff" + bytes(30), "wav"),  # written to a pipe
        (b"RIFF\0\0\0\0" + bytes(30), "avi"),
        (b"", "mov"),
        (bytes(99), "mpegts"),
    ],
)
def test_what_does_not_tell_its_size_is_left_alone(tmp_path: Path, content: bytes, demuxer: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert missing(file, demuxer) == ""
