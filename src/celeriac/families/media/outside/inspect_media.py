"""Looks into an audio or video file with PyAV. Reads a request from standard input as JSON, and writes the answer.

`look`: what the file has, checked against caps, its first pictures decoded, its end found.
`prove`: whether a file that was made is whole. The answer to a fault is `{"fault": text}`.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import av
import av.logging
from av.error import FFmpegError
from av.stream import Disposition

Facts = dict[str, Any]

#: Transfer functions of HDR: SMPTE 2084 (PQ), and ARIB STD-B67 (HLG).
_HDR = (16, 18)
#: Formats whose clock may start anew, and by how many seconds it jumps then, at least.
_JUMPING, _JUMP_S = ("mpegts", "mpeg"), 10.0


class Fault(Exception):
    """The file is not as it should be."""


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        answer = {"look": look, "prove": prove}[request["act"]](request)
    except Fault as fault:
        answer = {"fault": str(fault)}
    sys.stdout.write(json.dumps(answer))


def look(request: Facts) -> Facts:
    """What the file has. Nothing is decoded before the caps are known to hold."""
    with _opened(request) as container:
        facts = _facts(container)
        if fault := check(facts, request["caps"]):
            raise Fault(fault)
        for stream in _wanted(container):
            _first_frame(stream, container, facts)
        _check_end(container, facts)
        if request.get("measure") and not facts["exact"]:
            _measure(container, facts)
        if fault := check(facts, request["caps"]):  # the duration may be known only now
            raise Fault(fault)
        return facts


def check(facts: Facts, caps: dict[str, float]) -> str:
    """Say which cap the file exceeds; empty if none."""
    streams = facts["streams"]
    if not streams:
        return "it is not a whole file: no streams are found in it"
    if len(streams) > caps["streams"]:
        return f"it has {len(streams)} streams; {caps['streams']:g} are accepted"
    if not any(stream["type"] in ("video", "audio") for stream in streams):
        return "it has neither video nor audio"
    for stream in streams:
        if stream["type"] != "video":
            continue
        pixels = stream["width"] * stream["height"]
        if pixels > caps["pixels"]:
            return f"its pictures have {stream['width']} x {stream['height']} pixels; {caps['pixels']:,} are accepted"
        if (stream["frames"] or (facts["duration"] or 0) * stream["fps"]) > caps["frames"]:
            return f"it has more than the {caps['frames']:,} pictures that are accepted"
    duration = facts["duration"]
    if duration is not None and duration > caps["duration"]:
        return f"it lasts {duration:,.0f} s; {caps['duration']:,.0f} s are accepted"
    return ""


def prove(request: Facts) -> Facts:
    """Whether the streams are there, the duration is right, and the first and the last second can be decoded."""
    expected, wanted, tolerance = request["duration"], request["streams"], request["tolerance"]
    with _opened(request) as container:
        for stream in container.streams.video:  # on all cores, and without smoothing what has been decoded
            stream.thread_type, stream.codec_context.options = "AUTO", {"skip_loop_filter": "all"}
        facts = _facts(container)
        kinds = {stream["type"] for stream in facts["streams"]}
        if missing := [kind for kind in wanted if kind not in kinds]:
            raise Fault(f"it has no {' and no '.join(missing)}")
        if request.get("fragmented") or not facts["exact"]:
            _measure(container, facts)
        if expected is not None and abs(facts["duration"] - expected) > tolerance:
            raise Fault(f"it lasts {facts['duration']:.2f} s instead of {expected:.2f} s")
        for kind, end in wanted.items():
            stream = next(stream for stream in container.streams if stream.type == kind)
            _decode(container, stream, 0.0, 1.0)
            last = facts["duration"] if end is None else end
            reached = _decode(container, stream, max(0.0, last - 1.0 - tolerance), None)
            if end is not None and reached < end - tolerance:
                raise Fault(f"its {kind} can be decoded until {reached:.2f} s only, of {end:.2f} s")
        return facts


def _opened(request: Facts) -> Any:
    av.logging.set_level(None)
    options = {"protocol_whitelist": "file", "format_whitelist": request["demuxer"]}
    if request["demuxer"] == "mov":
        options |= {"enable_drefs": "0", "use_absolute_path": "0", "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2"}
    if request["demuxer"] == "matroska":
        options["format_whitelist"] = "matroska,webm"
    try:
        return av.open(f"file:{request['path']}", format=request["demuxer"], options=options, metadata_errors="replace")
    except (FFmpegError, ValueError) as error:
        raise Fault(f"it is not a whole {request['demuxer']} file: {_said(error)}") from None


def _said(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _facts(container: Any) -> Facts:
    streams = [_stream(stream) for stream in container.streams]
    duration = None if container.duration is None else container.duration / 1_000_000
    # These have no duration of their own: libavformat guesses from the first packets and the size of the file.
    exact = duration is not None and container.format.name.split(",")[0] not in ("mp3", "aac", "ogg", "mpegts", "mpeg")
    return {
        "format": container.format.name,
        "duration": duration,
        "exact": exact,
        "start": (container.start_time or 0) / 1_000_000,
        "bit_rate": container.bit_rate,
        "has_place": any("location" in name.lower() or "gps" in name.lower() for name in container.metadata),
        "streams": streams,
    }


def _stream(stream: Any) -> Facts:
    codec = stream.codec_context
    kind = "picture" if stream.disposition & Disposition.attached_pic else stream.type
    facts: Facts = {"index": stream.index, "type": kind, "codec": "unknown"}
    if codec is None:
        return facts | {"type": "unknown" if kind in ("video", "audio") else kind}
    facts |= {"codec": codec.codec.canonical_name, "profile": stream.profile, "bit_rate": codec.bit_rate}
    facts["duration"] = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    facts["tag"] = _tag(facts["codec"], bytes(codec.extradata or b""))
    if kind in ("video", "picture"):
        ratio = stream.sample_aspect_ratio
        facts |= {"width": codec.width, "height": codec.height, "pixel_format": codec.pix_fmt, "frames": stream.frames}
        facts |= {"aspect": float(ratio) if ratio else 1.0, "hdr": codec.color_trc in _HDR}
        facts["fps"] = float(stream.average_rate or stream.guessed_rate or 0)
    elif kind == "audio":
        facts |= {"sample_rate": codec.sample_rate, "channels": codec.channels}
    return facts


def _tag(codec: str, extra: bytes) -> str:
    """The codec as RFC 6381 names it for HLS."""
    if codec == "h264" and extra[:1] == b"\1":
        return f"avc1.{extra[1:4].hex()}"
    return "mp4a.40.2" if codec == "aac" else ""


def _wanted(container: Any) -> list[Any]:
    """The first video and the first audio stream that is not a cover."""
    found: dict[str, Any] = {}
    for stream in container.streams:
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            found.setdefault(stream.type, stream)
    return [found[kind] for kind in ("video", "audio") if kind in found]


def _first_frame(stream: Any, container: Any, facts: Facts) -> None:
    try:
        _rewind(container)
        frame = next(container.decode(stream), None)
    except FFmpegError as error:
        raise Fault(f"its {stream.type} ({stream.codec_context.name}) cannot be decoded: {_said(error)}") from None
    found = facts["streams"][stream.index]
    if frame is None:  # cameras and screen recorders leave a track for a sound that they had not
        found["type"] = "empty"
    elif stream.type == "video":
        found |= {"rotation": round(frame.rotation) % 360, "interlaced": bool(frame.interlaced_frame)}


def _rewind(container: Any) -> None:
    with suppress(FFmpegError):  # some formats cannot, and are at their start anyway
        container.seek(container.start_time or 0)


def _check_end(container: Any, facts: Facts) -> None:
    """A header may promise what does not follow: an upload that broke off, or a lie."""
    duration, streams = facts["duration"], _wanted(container)
    if all(facts["streams"][stream.index]["type"] == "empty" for stream in streams):
        raise Fault("its video and its audio have no content")
    if duration is None or not facts["exact"]:
        return
    told = _told(container, streams, facts)
    with suppress(FFmpegError):  # nothing can be read there, as is said below
        container.seek(int((facts["start"] + max(0.0, duration - 1)) * 1_000_000))
        _note_ends(container, streams, facts)
    reached = max((stream.get("end") or 0.0 for stream in facts["streams"]), default=0.0)
    if not reached:
        raise Fault(f"it ends early: it says that it lasts {duration:.1f} s, and its end cannot be read")
    if told is not None and reached < told - max(1.0, 0.02 * told):
        raise Fault(f"it ends early: it says that it lasts {told:.1f} s, and ends at {reached:.1f} s")
    if abs(reached - duration) > max(0.2, 0.01 * duration):  # what lasts longer is not converted, or was told wrongly
        facts["duration"] = reached


def _told(container: Any, streams: list[Any], facts: Facts) -> float | None:
    """How long the file says that its video and audio last. None if other streams may be meant."""
    own: list[float | None] = [facts["streams"][stream.index]["duration"] or _tagged(stream) for stream in streams]
    if all(own):
        return max(one or 0.0 for one in own)
    if any(stream["type"] not in ("video", "audio") for stream in facts["streams"]):
        return None
    # The clock of Matroska starts with the file, and not with the first picture.
    return facts["duration"] - (max(0.0, facts["start"]) if container.format.name.startswith("matroska") else 0.0)


def _tagged(stream: Any) -> float | None:
    """What writers of Matroska note of each stream: where it ends, as `00:43:00.040000000`."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return float(hours) * 3600 + float(minutes) * 60 + float(seconds) - float(stream.start_time * stream.time_base)
    except (TypeError, ValueError):
        return None


def _note_ends(container: Any, streams: list[Any], facts: Facts) -> float:
    """Read the packets that follow without decoding them, note where streams end, and return the first moment."""
    ends: dict[int, float] = {}
    last: dict[int, float] = {}
    shifts: dict[int, float] = {}
    first = None
    for packet in container.demux(streams):
        moment = packet.pts if packet.pts is not None else packet.dts
        if moment is None or packet.size == 0:
            continue
        index, decoded = packet.stream.index, float((packet.dts or moment) * packet.time_base)
        if facts["format"] in _JUMPING and not -0.1 < decoded - last.get(index, decoded) < _JUMP_S:  # ffmpeg's bounds
            shifts[index] = shifts.get(index, 0.0) + last[index] - decoded
        last[index] = decoded
        begin = float(moment * packet.time_base) + shifts.get(index, 0.0)
        first = begin if first is None else min(first, begin)
        end = begin + float((packet.duration or 0) * packet.time_base)
        ends[index] = max(end, ends.get(index, end))
    for index, end in ends.items():
        facts["streams"][index]["end"] = end - facts["start"]
    return first or 0.0


def _measure(container: Any, facts: Facts) -> None:
    """Find the duration by reading all packets."""
    _rewind(container)
    try:
        facts["start"] = _note_ends(container, _wanted(container), {**facts, "start": 0.0})
    except FFmpegError as error:
        raise Fault(f"it cannot be read to its end: {_said(error)}") from None
    ends = [stream for stream in facts["streams"] if stream.get("end") is not None]
    for stream in ends:
        stream["end"] = max(0.0, stream["end"] - facts["start"])
    facts["duration"] = max((stream["end"] for stream in ends), default=0.0)
    facts["exact"] = True


def _decode(container: Any, stream: Any, begin: float, length: float | None) -> float:
    """Decode from `begin` for `length` seconds (None: to the end), and return where the last frame ends.

    To get there, decoding begins at a picture that stands for itself, which may be seconds before. Pictures that no
    other one needs are skipped until then.
    """
    start = (container.start_time or 0) / 1_000_000
    reached, codec = -1.0, stream.codec_context
    try:
        container.seek(int((start + begin) * 1_000_000))
        for packet in container.demux(stream):
            if stream.type == "video":
                is_before = packet.pts is not None and packet.pts * packet.time_base - start < begin
                codec.skip_frame = "NONREF" if is_before else "DEFAULT"
            reached = max([reached, *(_frame_end(frame, stream) - start for frame in packet.decode())])
            if length is not None and reached >= begin + length:
                break
    except FFmpegError as error:
        raise Fault(f"its {stream.type} cannot be decoded from {begin:.1f} s on: {_said(error)}") from None
    if reached < begin:
        raise Fault(f"its {stream.type} has no content from {begin:.1f} s on")
    return reached


def _frame_end(frame: Any, stream: Any) -> float:
    if stream.type == "audio" and frame.sample_rate:
        return (frame.time or 0.0) + frame.samples / frame.sample_rate
    return (frame.time or 0.0) + float((frame.duration or 0) * (frame.time_base or 0))


if __name__ == "__main__":
    main()
