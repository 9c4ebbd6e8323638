"""Presets: what can be made of a file, and how. Pure data; nothing in them reaches a command line unchecked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from celeriac.core.faults import sentence
from celeriac.families.media.errors import PresetInvalid

#: The names that presets may have.
OWN_PRESETS = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

Side = Annotated[int, Field(ge=2, le=16_384)]
Bitrate = Annotated[int, Field(ge=8_000, le=200_000_000, description="Bits per second")]
AudioBitrate = Annotated[int, Field(ge=8_000, le=320_000, description="Bits per second")]
#: What its encoder takes for one channel.
_OPUS_BITRATE = 256_000
#: How an encoder trades time for size, from fast to small.
Effort = Literal["fast", "medium", "slow"]


class _Preset(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _for_opus(bitrate: int) -> int:
    if bitrate > _OPUS_BITRATE:
        raise ValueError(f"Opus has {_OPUS_BITRATE} bits per second at most")
    return bitrate


class VideoPreset(_Preset):
    """A video that browsers play. It is never larger than its source."""

    kind: Literal["video"] = "video"
    container: Literal["mp4", "webm"] = "mp4"
    codec: Literal["h264", "vp9", "av1"] = Field(default="h264", validate_default=True)
    max_height: Side = 1080
    max_fps: float | None = Field(default=None, ge=1, le=240)
    crf: int = Field(default=23, ge=0, le=63, description="Constant quality, lower is better; unused with `bitrate`")
    bitrate: Bitrate | None = Field(default=None, description="Encode to this average, in two passes (AV1: in one)")
    max_bitrate: Bitrate | None = Field(default=None, description="A source above it is encoded anew")
    effort: Effort = "medium"
    audio_bitrate: AudioBitrate = 128_000

    @field_validator("codec")
    @classmethod
    def _in_container(cls, value: str, info: ValidationInfo) -> str:
        if value == "h264" and info.data.get("container") == "webm":
            raise ValueError("WebM has vp9 or av1, and not h264")
        return value

    @field_validator("audio_bitrate")
    @classmethod
    def _of_sound(cls, value: int, info: ValidationInfo) -> int:
        return _for_opus(value) if info.data.get("container") == "webm" else value


class HlsPreset(_Preset):
    """A ladder of renditions for adaptive streaming (fragmented MP4), with a master playlist."""

    kind: Literal["hls"] = "hls"
    heights: tuple[Side, ...] = Field(default=(1080, 720, 480, 360, 240), min_length=2, max_length=5)
    segment_seconds: float = Field(default=6.0, ge=1, le=30)
    crf: int = Field(default=23, ge=0, le=51)
    effort: Effort = "fast"
    audio_bitrate: AudioBitrate = 128_000


class AudioPreset(_Preset):
    """The sound alone."""

    kind: Literal["audio"] = "audio"
    format: Literal["mp3", "opus", "m4a"] = "mp3"
    bitrate: AudioBitrate = 128_000
    loudness: float | None = Field(default=-16.0, ge=-36, le=-5, description="LUFS by EBU R 128; null: as it is")

    @field_validator("bitrate")
    @classmethod
    def _of_format(cls, value: int, info: ValidationInfo) -> int:
        return _for_opus(value) if info.data.get("format") == "opus" else value


class ThumbnailPreset(_Preset):
    """One picture of a video."""

    kind: Literal["thumbnail"] = "thumbnail"
    at: float | None = Field(default=None, ge=0, description="Seconds from the start; null: a typical picture")
    width: Side = 640
    format: Literal["jpeg", "webp", "png"] = "jpeg"


class SpritePreset(_Preset):
    """Small pictures of a whole video on one sheet, and a WebVTT file that says which is where."""

    kind: Literal["sprite"] = "sprite"
    every: float = Field(default=5.0, ge=0.2, le=600, description="Seconds from one picture to the next")
    width: Annotated[int, Field(ge=16, le=640)] = 160
    columns: int = Field(default=10, ge=1, le=50)
    max_pictures: int = Field(default=200, ge=1, le=1000, description="Longer videos get them less often")


class PreviewPreset(_Preset):
    """A short animation from moments of a video."""

    kind: Literal["preview"] = "preview"
    format: Literal["webp", "gif"] = "webp"
    moments: int = Field(default=4, ge=1, le=12)
    seconds: float = Field(default=1.0, ge=0.2, le=5, description="Length of each moment")
    fps: int = Field(default=8, ge=1, le=25)
    width: Annotated[int, Field(ge=16, le=960)] = 320


class ImagePreset(_Preset):
    """An image without EXIF and GPS data, turned upright, in sRGB. It is never larger than its source."""

    kind: Literal["image"] = "image"
    format: Literal["webp", "avif", "png", "jpeg"] = "webp"
    width: Side | None = None
    height: Side | None = None
    crop: bool = Field(default=False, description="Fill width and height, and cut off the rest")
    box: tuple[int, int, int, int] | None = Field(
        default=None, description="Cut out first: left, top, right, bottom in pixels of the upright image"
    )
    quality: int = Field(default=80, ge=1, le=100)


class DocumentPreset(_Preset):
    """A PDF of a Markdown, HTML or office document."""

    kind: Literal["document"] = "document"
    paper: Literal["a4", "us-letter"] = "a4"


Preset = Annotated[
    VideoPreset
    | HlsPreset
    | AudioPreset
    | ThumbnailPreset
    | SpritePreset
    | PreviewPreset
    | ImagePreset
    | DocumentPreset,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[Preset] = TypeAdapter(Preset)

#: What every application has.
BUILT_IN: Mapping[str, Preset] = {
    "mp4": VideoPreset(),
    "webm": VideoPreset(container="webm", codec="vp9", crf=32, audio_bitrate=96_000),
    "webm-av1": VideoPreset(container="webm", codec="av1", crf=35, audio_bitrate=96_000),
    "hls": HlsPreset(),
    "mp3": AudioPreset(),
    "opus": AudioPreset(format="opus", bitrate=96_000),
    "m4a": AudioPreset(format="m4a"),
    "thumbnail": ThumbnailPreset(),
    "sprite": SpritePreset(),
    "preview": PreviewPreset(),
    "webp": ImagePreset(),
    "avif": ImagePreset(format="avif", quality=60),
    "png": ImagePreset(format="png"),
    "jpeg": ImagePreset(format="jpeg", quality=85),
    "pdf": DocumentPreset(),
}

#: Which sources each kind of preset takes (`formats.Category`).
TAKES: Mapping[str, tuple[str, ...]] = {
    "video": ("video",),
    "hls": ("video",),
    "audio": ("video", "audio"),
    "thumbnail": ("video",),
    "sprite": ("video",),
    "preview": ("video",),
    "image": ("image",),
    "document": ("document",),
}


class Chosen(_Preset):
    """A preset that was chosen for a file, with its name."""

    name: str
    preset: Preset


class PresetChoice(BaseModel):
    """A preset by name, with values in place of some of its own."""

    model_config = ConfigDict(extra="allow")

    name: str


def choose(wanted: list[str | PresetChoice], own: Mapping[str, Preset]) -> list[Chosen]:
    """Look the presets up, and put the callers' values into them.

    Raises:
        PresetInvalid: one is unknown, its values do not fit, or two would make the same file.
    """
    known = {**BUILT_IN, **own}
    chosen: list[Chosen] = []
    for number, one in enumerate(wanted):
        name, changes = (one, dict[str, Any]()) if isinstance(one, str) else (one.name, dict(one.model_extra or {}))
        if name not in known:
            _refuse(number, name, f"there is no preset {name[:60]!r}; there are {', '.join(known)}")
        chosen.append(Chosen(name=name, preset=_changed(number, name, known[name], changes)))
    for number, one in enumerate(chosen):
        if any(_meet(one, other) for other in chosen[:number]):
            _refuse(number, one.name, f"the preset {one.name!r} would make the same file as another")
    return chosen


def _meet(one: Chosen, other: Chosen) -> bool:
    """Whether two presets may make a file of the same name. A ladder's heights depend on its source."""
    return suffix(one) == suffix(other) or _is_rendition(one, other) or _is_rendition(other, one)


def _is_rendition(one: Chosen, ladder: Chosen) -> bool:
    """Whether what `one` makes has the name of a rendition of `ladder`, such as `-hls-360p.mp4`."""
    begin = f"-{ladder.name}-"
    name, _, extension = suffix(one).rpartition(".")
    height = name.removeprefix(begin).removesuffix("p")
    return (
        isinstance(ladder.preset, HlsPreset)
        and extension in ("mp4", "m3u8")
        and height.isdecimal()
        and name == f"{begin}{height}p"
    )


def _changed(number: int, name: str, preset: Preset, changes: dict[str, Any]) -> Preset:
    if "kind" in changes:
        _refuse(number, name, f"the preset {name!r} has a kind already: {preset.kind}")
    try:
        return _ADAPTER.validate_python({**preset.model_dump(), **changes})
    except ValidationError as error:
        faults = sentence(({**fault, "loc": fault["loc"][1:]} for fault in error.errors()), "options")
        _refuse(number, name, f"the preset {name!r} cannot be so: {faults}")


def _refuse(number: int, name: str, message: str) -> NoReturn:
    raise PresetInvalid(message, [{"loc": ["presets", number], "preset": name[:60], "message": message}])


def suffix(chosen: Chosen) -> str:
    """What follows the source's name in the name of the (first) file that is made: `.mp4`, `-sprite.jpg`."""
    name, preset = chosen.name, chosen.preset
    extension = _extension(preset)
    if name in BUILT_IN and preset.kind in ("video", "hls", "audio", "image", "document") and name != "webm-av1":
        return f".{extension}"
    return f"-{name}.{extension}"


def _extension(preset: Preset) -> str:
    match preset:
        case VideoPreset():
            return preset.container
        case HlsPreset():
            return "m3u8"
        case DocumentPreset():
            return "pdf"
        case SpritePreset():
            return "jpg"
        case _:
            return {"jpeg": "jpg"}.get(preset.format, preset.format)
