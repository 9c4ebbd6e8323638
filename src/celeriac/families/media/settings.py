"""The settings of conversions."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from celeriac.families.media.presets import OWN_PRESETS, Preset
from celeriac.family import FamilySettings

_GIB = 1_073_741_824


class MediaSettings(FamilySettings):
    """The settings of conversions: their programs, own presets, and limits for what strangers send."""

    media_ffmpeg: str | None = None
    """Path of ffmpeg. Unset: the one in `PATH`, else that of the extra `ffmpeg`."""
    media_soffice: str | None = None
    """Path of LibreOffice's `soffice`, which turns office documents into PDF. Unset: the one in `PATH`."""
    media_presets: dict[str, Preset] = Field(default_factory=dict)
    """Presets of your own: JSON, `{"name": {"kind": "video", …}}`, or the path of a TOML or JSON file with them."""
    media_library: str | None = None
    """Folder in the storage whose files callers may name as `path`. Unset: callers cannot name files by path."""
    media_work_dir: Path | None = None
    """Directory for unfinished files of conversions. Unset: that of the system for temporary files."""
    media_also_open: list[Path] = Field(default_factory=list[Path])
    """Further paths that converters may read and write, with `:` between them. On Linux with Landlock, converters can
    open their file, their directory, and the system's programs, libraries and fonts; nothing else."""
    media_require_confinement: bool = False
    """Refuse to convert where the system cannot keep converters from other files and the network. Unset: the log of
    the worker warns of it."""
    media_slots: int = Field(default=1, ge=1, le=1000)
    """Conversions that each process of a worker runs at a time. The others wait."""
    media_timeout: float = Field(default=6 * 3600.0, gt=0, allow_inf_nan=False)
    """Seconds that the conversion of one file may take."""
    media_stall_timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds without any progress after which ffmpeg is ended."""
    media_cpu_seconds: int = Field(default=24 * 3600, ge=1)
    """Seconds of CPU time that one run of a converter may use, on all cores together. Documents have at most 600."""
    media_memory_bytes: int = Field(default=8 * _GIB, ge=256 * 1_048_576)
    """Address space that one run of a converter may use, in bytes."""
    media_max_duration: float = Field(default=6 * 3600.0, gt=0, allow_inf_nan=False)
    """Longest audio or video that is converted, in seconds."""
    media_max_pixels: int = Field(default=40_000_000, ge=1)
    """Most pixels of a video's frame."""
    media_max_image_pixels: int = Field(default=100_000_000, ge=1)
    """Most pixels of an image."""
    media_max_frames: int = Field(default=2_000_000, ge=1)
    """Most frames of a video."""
    media_max_streams: int = Field(default=32, ge=1)
    """Most streams (video, audio, subtitles) of a file."""
    media_max_document_bytes: int = Field(default=20 * 1_048_576, ge=1)
    """Largest Markdown or HTML document, in bytes."""
    media_max_office_bytes: int = Field(default=200 * 1_048_576, ge=1)
    """Largest office document, in bytes."""

    @field_validator("media_also_open", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        return [path for path in value.split(os.pathsep) if path] if isinstance(value, str) else value

    @field_validator("media_presets", mode="before")
    @classmethod
    def _presets(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if not text.startswith("{"):
            file = Path(text)
            try:
                text = file.read_text(encoding="utf-8")
                return tomllib.loads(text) if file.suffix == ".toml" else _object(text)
            except (OSError, ValueError) as error:
                raise ValueError(f"expected JSON, or a TOML or JSON file: {error}") from None
        return _object(text)

    @field_validator("media_presets")
    @classmethod
    def _names(cls, value: dict[str, Preset]) -> dict[str, Preset]:
        for name in value:
            if not OWN_PRESETS.fullmatch(name):
                raise ValueError(f"the preset {name!r}: a name has 1 to 40 lower-case letters, digits, - and _")
        return value

    @field_validator("media_library")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        if value is None:
            return None
        folder = value.strip("/")
        if any(part in ("", ".", "..") for part in folder.split("/")):
            raise ValueError("expected a folder in the storage, such as library/videos")
        if folder.split("/")[0] in ("artifacts", "uploads", "links"):
            raise ValueError("expected a folder of your own, not one of Celeriac's")
        return folder


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON, or a TOML or JSON file: {error}") from None
