"""What files are, by their first bytes."""

import io
import zipfile

import pytest

from celeriac.storage.sniffing import sniff


def office(part: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(part, "<x/>")
    return file.getvalue()


def opendocument(kind: str = "application/vnd.oasis.opendocument.text") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", "<x/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "image/avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video/quicktime"),
        (b"\0\0\x0c\x6bmoov\0\0\0\x6cmvhd", "video/quicktime"),
        (b"\0\0\0\x08wide\x2d\xfa\x10\0mdat", "video/quicktime"),
        (b"TESTmdat\0\0\0\x01", "video/quicktime"),
        (b"\0\0\0\x01mdat\0\0\0\x01\0\0\0\0", "video/quicktime"),
        (b"\0\0\0\0mdat\xff\xd8", "video/quicktime"),
        (b"\0\0\0\x08skip\0\0\0\x08free", "video/quicktime"),
        (b"\0\0\0\x07free\0", "application/octet-stream"),
        (b"The free world", "text/plain"),
        (b"FORM\0\x01\x02\x03AIFFCOMM", "audio/aiff"),
        (b"FORM\0\x01\x02\x03AIFCFVER", "audio/aiff"),
        (b"FORM\0\x01\x02\x03ILBMBMHD", "application/octet-stream"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"OggS\0\x02", "application/ogg"),
        (b"ID3\x04\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\x47" + bytes(187) + b"\x47" + bytes(187) + b"\x47", "video/mp2t"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "application/vnd.apple.mpegurl"),
        (b"PAR1\x15\x04", "application/vnd.apache.parquet"),
        (office("xl/workbook.xml"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (office("word/document.xml"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (opendocument(), "application/vnd.oasis.opendocument.text"),
        (b"PK\x03\x04\x14\0", "application/zip"),
        (b"MZ\x90\0", "application/vnd.microsoft.portable-executable"),
        (b"  <!DOCTYPE html><html>", "text/html"),
        (b"<html lang=de><body>", "text/html"),
        (b"\xef\xbb\xbf<HTML>", "text/html"),
        (b"<!DOCTYPE svg PUBLIC>", "text/plain"),
        (b"hello", "text/plain"),
        (b"gr\xfc\xdfe", "text/plain"),
        (b"\xff\xfeh\0i\0", "text/plain"),
        (b"", "text/plain"),
        (bytes(range(256)), "application/octet-stream"),
        (b"\xff\xff\xff\xff", "text/plain"),
    ],
)
def test_the_first_bytes_decide(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize(
    ("name", "kind"), [("a.csv", "text/csv"), ("A.JSON", "application/json"), ("b.exe", "text/plain")]
)
def test_a_name_decides_between_kinds_of_text(name: str, kind: str) -> None:
    assert sniff(b"1,2,3", name) == kind


def test_a_name_does_not_decide_against_the_content() -> None:
    assert sniff(b"%PDF-1.7", "innocent.csv") == "application/pdf"
    assert sniff(b"#EXTM3U\n", "film.mp4") == "application/vnd.apple.mpegurl"
    assert sniff(b"\0\1\2", "film.mp4") == "application/octet-stream"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml\r\nX-Header: 1", "é", ""])
def test_a_zip_file_is_not_believed_what_it_says_of_itself(kind: str) -> None:
    assert sniff(opendocument(kind), "a.odt") == "application/zip"
