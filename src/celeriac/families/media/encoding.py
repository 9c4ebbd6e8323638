"""The arguments with which ffmpeg makes videos and sounds, from facts and presets. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from celeriac.families.media.model import MediaFacts, StreamFacts
from celeriac.families.media.presets import Effort, HlsPreset, VideoPreset

_H264: Mapping[Effort, str] = {"fast": "veryfast", "medium": "medium", "slow": "slow"}
_VP9: Mapping[Effort, str] = {"fast": "5", "medium": "3", "slow": "1"}
_AV1: Mapping[Effort, str] = {"fast": "10", "medium": "8", "slow": "5"}

#: None of the source's notes, which may name a place, and no chapters.
NO_NOTES = ("-map_metadata", "-1", "-map_chapters", "-1")
#: Silence until the sound begins, if the pictures begin before it. Segments of HLS would lose that time.
FROM_THE_START = "aresample=async=1:first_pts=0"

#: Seconds from one picture that stands for itself to the next, at most: players begin there, and so does a proof.
_KEY_S, _USUAL_FPS = 5.0, 25.0
#: What browsers decode everywhere.
_PIXELS = "yuv420p"
_H264_PROFILES = ("Baseline", "Constrained Baseline", "Main", "High")


#: To light, from there to the colours of BT.709, and to its range of brightness.
_TO_SDR = (
    *("zscale=transfer=linear:npl=100", "format=gbrpf32le", "zscale=primaries=bt709", "tonemap=hable:desat=0"),
    *("zscale=transfer=bt709:matrix=bt709:range=tv", "sidedata=mode=delete"),
)


def size_for(stream: StreamFacts, max_height: int) -> tuple[int, int]:
    """The even size of the output: at most `max_height` high, and never larger than the source.

    For pictures that are higher than wide, it is the width that is bounded.
    """
    width, height = stream.shown
    factor = min(1.0, max_height / max(1, min(width, height)))
    return _even(width * factor), _even(height * factor)


def _even(side: float) -> int:
    return max(2, int(side / 2 + 0.001) * 2)


def whole_pictures(stream: StreamFacts) -> list[str]:
    """The filters that come first: of two fields make one picture, and of HDR colours those of common screens."""
    steps = ["bwdif=mode=send_frame:deint=interlaced"] if stream.interlaced else []
    return [*steps, *_TO_SDR] if stream.hdr else steps


def filters(stream: StreamFacts, size: tuple[int, int], max_fps: float | None = None) -> str:
    """The chain that makes pictures of `size` with square pixels. ffmpeg turns them upright before."""
    steps = whole_pictures(stream)
    steps += [f"fps={max_fps:g}"] if max_fps is not None and stream.fps > max_fps + 0.01 else []
    if size != stream.shown or stream.aspect != 1.0:
        steps.append(f"scale={size[0]}:{size[1]}")
    return ",".join([*steps, "setsar=1", f"format={_PIXELS}"])


def video_coding(preset: VideoPreset, fps: float) -> list[str]:
    """The encoder of the pictures, and its quality. `fps` is that of the source."""
    if preset.codec == "h264":
        coding = ["-c:v", "libx264", "-preset", _H264[preset.effort], "-profile:v", "high"]
    elif preset.codec == "vp9":
        coding = ["-c:v", "libvpx-vp9", "-row-mt", "1", "-deadline", "good", "-cpu-used", _VP9[preset.effort]]
    else:
        coding = ["-c:v", "libsvtav1", "-preset", _AV1[preset.effort]]
    fps = min(fps or _USUAL_FPS, preset.max_fps or fps or _USUAL_FPS)
    coding += ["-g", str(max(1, round(_KEY_S * fps)))]
    if preset.bitrate is None:
        return [*coding, "-crf", str(preset.crf), *(["-b:v", "0"] if preset.codec == "vp9" else [])]
    return [*coding, "-b:v", str(preset.bitrate)]


def audio_coding(container: str, bitrate: int, stream: StreamFacts) -> list[str]:
    """The encoder of the sound. More than two channels become two."""
    codec = ["-c:a", "libopus", "-ar", "48000"] if container == "webm" else ["-c:a", "aac"]
    return ["-af", FROM_THE_START, *codec, "-b:a", str(bitrate), "-ac", str(min(2, stream.channels or 2))]


def differences(facts: MediaFacts, preset: VideoPreset) -> list[str]:
    """What keeps the pictures from being what the preset makes. If there is nothing, they are copied."""
    stream = facts.video
    assert stream is not None
    found: list[str] = []
    if stream.codec != preset.codec:
        found.append(f"its codec is {stream.codec}")
    if stream.pixel_format != _PIXELS:
        found.append(f"its pixels are {stream.pixel_format}")
    if preset.codec == "h264" and stream.profile not in _H264_PROFILES:
        found.append(f"its profile is {stream.profile}")
    if size_for(stream, preset.max_height) != stream.shown:
        found.append(f"it has {stream.shown[0]} x {stream.shown[1]} pixels")
    if preset.max_fps is not None and stream.fps > preset.max_fps + 0.01:
        found.append(f"it has {stream.fps:g} pictures a second")
    if stream.rotation or stream.aspect != 1.0:
        found.append("its pictures are turned or stretched by the player")
    if stream.interlaced or stream.hdr:
        found.append("its pictures are interlaced, or HDR")
    rate = stream.bit_rate or facts.bit_rate or 0
    allowed = preset.max_bitrate or preset.bitrate
    if allowed is not None and rate > allowed * 1.1:
        found.append(f"it has {rate:,} bits a second")
    return found


def audio_fits(facts: MediaFacts, preset: VideoPreset) -> bool:
    """Whether the sound is what the preset makes."""
    stream = facts.audio
    if stream is None:
        return True
    fits = stream.codec == ("opus" if preset.container == "webm" else "aac")
    return fits and stream.channels <= 2 and (stream.bit_rate or 0) <= preset.audio_bitrate * 2


def container_fits(content_type: str, preset: VideoPreset) -> bool:
    """Whether the file is in the preset's container."""
    return content_type == f"video/{preset.container}"


def maps(facts: MediaFacts) -> list[str]:
    """Take the first video and the first audio stream, and none of the source's notes, which may name a place."""
    chosen = [stream for stream in (facts.video, facts.audio) if stream is not None]
    return [*(part for stream in chosen for part in ("-map", f"0:{stream.index}")), *NO_NOTES, "-sn", "-dn"]


def ladder(stream: StreamFacts, heights: tuple[int, ...]) -> list[int]:
    """The heights of the renditions, from the largest: those of the preset that are not larger than the source.

    A ladder has two steps at least. For a source that is smaller than those, they are its own size and a half of it.
    """
    source = min(stream.shown)
    fitting = {height for height in heights if height <= source}
    if len(fitting) < 2:
        fitting.add(_even(source))
    if len(fitting) < 2:
        fitting.add(_even(source / 2))
    return sorted(fitting, reverse=True)


def rendition_coding(preset: HlsPreset, height: int, fps: float) -> list[str]:
    """The encoder of one rendition: constant quality with a bounded rate, and segments that begin alike in all."""
    bound = max(200_000, round(height * height * 16 / 9 * 2.6 * (1.4 if fps > 35 else 1.0)))
    return [
        *("-c:v", "libx264", "-preset", _H264[preset.effort], "-profile:v", "high", "-crf", str(preset.crf)),
        *("-maxrate", str(bound), "-bufsize", str(bound * 2), "-sc_threshold", "0"),
        *("-force_key_frames", f"expr:gte(t,n_forced*{preset.segment_seconds:g})"),
    ]
