"""The data of conversions: where a file comes from, what it is, and what was made of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from celeriac.families.media.formats import Category


class Source(BaseModel):
    """A file that is kept in the storage, as a conversion's job gets it."""

    model_config = ConfigDict(frozen=True)

    path: str
    name: str
    size: int
    content_type: str


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine that converters read. Nobody writes it."""

    path: Path
    name: str
    content_type: str
    size: int


class StreamFacts(BaseModel):
    """One stream of an audio or video file. Sizes are those of the coded picture, before it is turned."""

    index: int
    type: str = Field(description="video, audio, subtitle, data, attachment, picture (a cover), empty or unknown")
    codec: str
    profile: str | None = None
    bit_rate: int | None = None
    duration: float | None = None
    end: float | None = Field(default=None, description="Where its last packet ends, in seconds from the start")
    width: int = 0
    height: int = 0
    pixel_format: str | None = None
    fps: float = 0
    frames: int = 0
    aspect: float = Field(default=1.0, description="Width of a pixel, by its height")
    rotation: int = Field(default=0, description="Degrees by which players turn it")
    interlaced: bool = False
    hdr: bool = Field(default=False, description="Whether it has more than the brightness of common screens")
    sample_rate: int = 0
    channels: int = 0
    tag: str = Field(default="", description="The codec as RFC 6381 names it, if known")

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as a player shows them."""
        width, height = round(self.width * self.aspect), self.height
        return (height, width) if self.rotation % 180 else (width, height)


class MediaFacts(BaseModel):
    """What a file has, found by reading it."""

    category: Category
    content_type: str
    size: int
    format: str
    duration: float | None = Field(default=None, description="Seconds; null for images, documents, and if unknown")
    exact: bool = Field(default=True, description="Whether the duration stands in the file, or was measured")
    bit_rate: int | None = None
    has_place: bool = Field(default=False, description="Whether a note in it says where it was taken")
    streams: list[StreamFacts] = Field(default_factory=list[StreamFacts])
    width: int = Field(default=0, description="Of an image, turned upright")
    height: int = 0
    frames: int = Field(default=0, description="Of an image: more than 1 if it is animated")

    @property
    def video(self) -> StreamFacts | None:
        """The video stream that is converted: the first that is no cover."""
        return next((stream for stream in self.streams if stream.type == "video"), None)

    @property
    def audio(self) -> StreamFacts | None:
        """The audio stream that is converted: the first."""
        return next((stream for stream in self.streams if stream.type == "audio"), None)

    def for_people(self) -> dict[str, Any]:
        """What a table shows of it."""
        shown: dict[str, Any] = {"type": self.content_type, "bytes": self.size, "format": self.format}
        if self.duration is not None:
            shown["duration"] = f"{self.duration:.2f} s"
        if self.width:
            shown["picture"] = f"{self.width} x {self.height}"
        for stream in self.streams:
            size = f", {stream.width} x {stream.height}, {stream.fps:.4g} fps" if stream.width else ""
            sound = f", {stream.sample_rate} Hz, {stream.channels} channels" if stream.channels else ""
            shown[f"stream {stream.index}"] = f"{stream.type}: {stream.codec}{size}{sound}"
        return shown


@dataclass(frozen=True, slots=True)
class Output:
    """What one preset came to.

    Attributes:
        preset: its name.
        state: `made`; `kept`, if an earlier run of the job had made it; `compliant`, if the source is one already.
        files: the names of its artifacts.
        seconds: how long it took.
        detail: how it was made, such as the renditions of a ladder; or why nothing was.
    """

    preset: str
    state: str
    files: list[str]
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MediaOutcome:
    """The result of a conversion's job."""

    source: str
    duration: float | None
    outputs: list[Output]
