"""What a file may be, by its sniffed type: which family of presets takes it, and the one demuxer that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from celeriac.families.media.errors import MediaRefused

Category = Literal["video", "audio", "image", "document"]

#: ffmpeg's demuxer for each type. No other one is tried, so a playlist or script is never one.
_DEMUXERS: Mapping[str, str] = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "audio/mp4": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
    "video/mp2t": "mpegts",
    "video/mpeg": "mpeg",
    "video/x-flv": "flv",
    "video/x-ms-asf": "asf",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "application/ogg": "ogg",
}

#: Pillow's name for each type.
_IMAGES: Mapping[str, str] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}

_MARKUP = ("text/markdown", "text/html")
_OFFICE: Mapping[str, str] = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/x-ole-storage": "doc",
    "application/rtf": "rtf",
}

_REASONS: Mapping[str, str] = {
    "application/vnd.apple.mpegurl": "it is a playlist, which names other files",
    "image/heic": "HEIC images cannot be read here: convert it to JPEG first",
    "image/svg+xml": "drawings (SVG) are not converted",
}


def category_of(content_type: str, name: str, size: int) -> Category:
    """Say what kind of file it is.

    Raises:
        MediaRefused: it is none that can be converted, or empty.
    """
    if not size:
        raise MediaRefused(f"{name[:80]!r} cannot be converted: it is empty")
    if content_type in _DEMUXERS:
        return "audio" if content_type.startswith("audio/") else "video"
    if content_type in _IMAGES:
        return "image"
    if content_type in _MARKUP or content_type in _OFFICE:
        return "document"
    reason = _REASONS.get(content_type)
    if reason is None and content_type.startswith("text/"):
        reason = "its content is text"
    raise MediaRefused(f"{name[:80]!r} cannot be converted: {reason or f'its content is {content_type}'}")


def demuxer_of(content_type: str) -> str:
    """The demuxer of a video or audio file."""
    return _DEMUXERS[content_type]


def image_format_of(content_type: str) -> str:
    """Pillow's name for the format of an image."""
    return _IMAGES[content_type]


def is_markup(content_type: str) -> bool:
    """Whether a document is Markdown or HTML, rather than an office document."""
    return content_type in _MARKUP


def office_suffix(content_type: str) -> str:
    """The extension by which LibreOffice knows an office document of that type."""
    return _OFFICE[content_type]
