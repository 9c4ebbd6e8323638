"""Makes sound files, with the loudness of EBU R 128: measured in a first pass, set in a second."""

from __future__ import annotations

import json
import math
from pathlib import Path

from celeriac.families.media.encoding import FROM_THE_START, NO_NOTES
from celeriac.families.media.errors import MediaRefused
from celeriac.families.media.presets import AudioPreset
from celeriac.families.media.progress import Report, part
from celeriac.families.media.toolbox import FFMPEG, Toolbox

_CODECS = {"mp3": "libmp3lame", "opus": "libopus", "m4a": "aac"}
_MUXERS = {"mp3": "mp3", "opus": "ogg", "m4a": "ipod"}
_DEMUXERS = {"mp3": "mp3", "opus": "ogg", "m4a": "mov"}
#: Peak in dBTP, and range in LU, that normalization aims at.
_TARGET = "TP=-1.5:LRA=11"
_MEASURED = {"input_i": "I", "input_tp": "TP", "input_lra": "LRA", "input_thresh": "thresh"}


async def make_sound(box: Toolbox, preset: AudioPreset, made: Path, report: Report) -> str:
    """Make the sound file, prove that it is whole, and say how loud it was."""
    stream = box.facts.audio
    if stream is None:
        raise MediaRefused(f"{box.source.name!r} cannot be converted: it has no sound")
    begin = [*FFMPEG, *box.input(), "-map", f"0:{stream.index}", *NO_NOTES]
    # More than two channels become two before they are measured, as their loudness changes with that.
    filters = f"{FROM_THE_START},aformat=channel_layouts=stereo" if stream.channels > 2 else FROM_THE_START
    detail, share = "", 0.0
    if preset.loudness is not None:
        share = 40.0
        measure = f"{filters},loudnorm=I={preset.loudness:g}:{_TARGET}:print_format=json"
        loud = [argument if argument != "warning" else "info" for argument in begin]
        told = await box.ffmpeg([*loud, "-af", measure, "-f", "null", "-"], box.duration, part(report, 0, share))
        louder, detail = normalization(told, preset.loudness)
        filters = ",".join(filter(None, (filters, louder)))
    # `loudnorm` works, and would write, with 192 kHz.
    coding = ["-c:a", _CODECS[preset.format], "-b:a", str(preset.bitrate), "-ar", "48000"]
    coding += ["-ac", str(min(2, stream.channels or 2))]
    sound = ["-af", filters, *coding, "-f", _MUXERS[preset.format], str(made)]
    duration = box.duration if stream.end is None else stream.end
    await box.ffmpeg([*begin, *sound], duration, part(report, share, 95))
    report(95, "checking")
    await box.prove(made, _DEMUXERS[preset.format], {"audio": stream.end}, duration)
    return detail


def normalization(told: str, target: float) -> tuple[str, str]:
    """The filter of the second pass from what ffmpeg measured in the first, and what it changes, for people.

    Silence has no loudness, nor has what is shorter than 0.4 s. They stay as they are.
    """
    start, end = told.rfind("{"), told.rfind("}")
    measured: dict[str, str] = json.loads(told[start : end + 1]) if 0 <= start < end else {}
    try:
        values = {name: float(measured[key]) for key, name in _MEASURED.items()}
        offset = float(measured["target_offset"])
    except (KeyError, ValueError):
        return "", ""
    if not all(map(math.isfinite, (*values.values(), offset))):
        return "", "silent, or shorter than what loudness is measured of"
    # The filter accepts no measures outside of these.
    values["I"], values["TP"] = max(-99.0, min(0.0, values["I"])), max(-99.0, min(99.0, values["TP"]))
    given = ":".join(f"measured_{name}={value:g}" for name, value in values.items())
    detail = f"loudness {values['I']:g} to {target:g} LUFS"
    return f"loudnorm=I={target:g}:{_TARGET}:{given}:offset={offset:g}:linear=true", detail
