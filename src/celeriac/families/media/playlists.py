"""Playlists of HLS (RFC 8216): those of renditions as ffmpeg writes them, and the master that names them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

#: What this family notes in a rendition's playlist, so that a later run can write the master. Players skip it.
_NOTE = "# celeriac-rendition: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One step of a ladder. `playlist` is the name of its playlist; rates are in bits a second."""

    playlist: str
    width: int
    height: int
    fps: float
    codecs: str
    peak: int
    average: int


def rendition_playlist(written: str, media: str, rendition: Rendition) -> str:
    """The playlist of a rendition: ffmpeg's, with the name that the media file has as an artifact, and a note."""
    uri = quote(media)
    lines = [_naming(line, uri) for line in written.splitlines()]
    facts = (rendition.width, rendition.height, f"{rendition.fps:.3f}", rendition.codecs, rendition.peak)
    note = " ".join(map(str, (*facts, rendition.average)))
    return "\n".join([lines[0], f"{_NOTE}{note}", *lines[1:], ""])


def _naming(line: str, uri: str) -> str:
    """The line with `uri` in place of the file that it names, if it names one."""
    if line.startswith("#EXT-X-MAP:"):
        before, _, after = line.partition('URI="')
        return f'{before}URI="{uri}"{after.partition(chr(34))[2]}'
    return uri if line and not line.startswith("#") else line


def noted(playlist: str, name: str) -> Rendition | None:
    """The rendition whose playlist this is, by its note. None if there is none."""
    note = next((line for line in playlist.splitlines() if line.startswith(_NOTE)), "")
    words = note.removeprefix(_NOTE).split()
    if len(words) != 6:
        return None
    width, height, fps, codecs, peak, average = words
    return Rendition(
        playlist=name,
        width=int(width),
        height=int(height),
        fps=float(fps),
        codecs=codecs,
        peak=int(peak),
        average=int(average),
    )


def rates(written: str) -> tuple[int, int]:
    """The highest rate of a segment, and the average, in bits a second, by the lengths and byte ranges."""
    segments: list[tuple[float, int]] = []
    seconds = 0.0
    for line in written.splitlines():
        name, _, value = line.partition(":")
        if name == "#EXTINF":
            seconds = float(value.partition(",")[0])
        elif name == "#EXT-X-BYTERANGE":
            segments.append((seconds, int(value.partition("@")[0])))
    whole, length = sum(size for _, size in segments), sum(seconds for seconds, _ in segments)
    # A last segment of some frames says nothing of what a player needs.
    peaks = [size * 8 / seconds for seconds, size in segments if seconds >= min(0.5, length)]
    return round(max(peaks, default=0)), round(whole * 8 / length) if length else 0


def master(renditions: Sequence[Rendition]) -> str:
    """The playlist that a player begins with."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for one in renditions:
        told = [f"BANDWIDTH={one.peak}", f"AVERAGE-BANDWIDTH={one.average}", f"RESOLUTION={one.width}x{one.height}"]
        told += [f"FRAME-RATE={one.fps:.3f}"] if one.fps else []
        told += [f'CODECS="{one.codecs}"'] if one.codecs else []
        lines += [f"#EXT-X-STREAM-INF:{','.join(told)}", quote(one.playlist)]
    return "\n".join([*lines, ""])
