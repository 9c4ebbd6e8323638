"""What a file is, by its first bytes: a name or a header may lie.

The signatures are those of the formats' own specifications. A table of our own, as guesses by confidence give one file
several types, and what reads a file must be chosen by exactly one.
"""

from __future__ import annotations

#: So many bytes from the start are looked at.
HEAD_BYTES = 4096
UNKNOWN = "application/octet-stream"
TEXT = "text/plain"

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\0\0\x01\xba", "video/mpeg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"#EXTM3U", "application/vnd.apple.mpegurl"),
    (257, b"ustar", "application/x-tar"),
)

#: Types that a ZIP file may name as its own. Any other is not believed.
_NAMED_IN_ZIP = {
    b"application/epub+zip",
    *(
        b"application/vnd.oasis.opendocument." + kind
        for kind in (b"text", b"spreadsheet", b"presentation", b"graphics", b"text-template", b"spreadsheet-template")
    ),
}

_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}

#: Major brands of ISO base media files (ISO/IEC 14496-12), at byte 8.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"), "image/heic"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    b"qt  ": "video/quicktime",
}

#: Boxes with which a film of QuickTime begins that has no `ftyp` (QuickTime File Format, 2016).
_QUICKTIME_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

#: Text without a signature is what its name says, if that is one of these.
_TEXTS = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "html": "text/html",
    "htm": "text/html",
    "md": "text/markdown",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "vtt": "text/vtt",
    "ics": "text/calendar",
    "eml": "message/rfc822",
    "log": TEXT,
    "txt": TEXT,
}

#: Office documents are ZIP files; their parts are named in it near the start.
_PARTS = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
#: All bytes that texts have.
_NO_CONTROLS = bytes({*range(32, 256), *b"\t\n\f\r\x1b"})


def sniff(head: bytes, name: str = "") -> str:
    """The media type of a file that begins with `head`. Its name decides between kinds of text, and nothing else."""
    for offset, signature, kind in _SIGNATURES:
        if head.startswith(signature, offset):
            return kind
    for recognize in (_riff, _aiff, _iso_media, _quicktime, _matroska, _zip, _transport_stream, _mpeg_audio):
        if found := recognize(head):
            return found
    if not is_text(head):
        return UNKNOWN
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "text/html"
    return _TEXTS.get(name.rpartition(".")[2].lower(), TEXT) if "." in name else TEXT


def is_text(head: bytes) -> bool:
    """Whether a text begins so: in UTF-16 with its mark, or in any encoding without control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return not head.translate(None, delete=_NO_CONTROLS)


def _riff(head: bytes) -> str | None:
    return _RIFF.get(head[8:12]) if head.startswith(b"RIFF") else None


def _aiff(head: bytes) -> str | None:
    return "audio/aiff" if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC") else None


def _quicktime(head: bytes) -> str | None:
    """The size of a box, 4 bytes, is in front of its name. A text may have such a word there, but no size."""
    if head[4:8] not in _QUICKTIME_BOXES or is_text(head):
        return None
    size = int.from_bytes(head[:4], "big")
    return "video/quicktime" if size in (0, 1) or size >= 8 else None  # 0: to the end; 1: a longer number follows


def _iso_media(head: bytes) -> str | None:
    return _BRANDS.get(head[8:12], "video/mp4") if head[4:8] == b"ftyp" else None


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    return "video/webm" if b"webm" in head[:64] else "video/x-matroska"


def _zip(head: bytes) -> str | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    if head[30:38] == b"mimetype":  # OpenDocument and EPUB put their type there, uncompressed
        told = head[38:120].partition(b"PK")[0].strip()
        return told.decode() if told in _NAMED_IN_ZIP else "application/zip"
    if b"[Content_Types].xml" in head or b"_rels/.rels" in head:
        return next((kind for part, kind in _PARTS if part in head), "application/zip")
    return "application/zip"


def _transport_stream(head: bytes) -> str | None:
    """MPEG transport streams have a packet of 188 bytes after the other, each beginning with 0x47."""
    is_one = len(head) > 376 and head[0] == head[188] == head[376] == 0x47
    return "video/mp2t" if is_one else None


def _mpeg_audio(head: bytes) -> str | None:
    """The header of a frame (ISO/IEC 11172-3): 11 bits for synchronization, then a layer that is not reserved."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"  # ADTS: the layer is always 0
    is_layer_2_or_3 = head[1] & 0x06 in (0x02, 0x04)  # layer 1 is out of use, and would be UTF-16's mark
    return "audio/mpeg" if is_layer_2_or_3 and head[2] & 0xF0 != 0xF0 else None
