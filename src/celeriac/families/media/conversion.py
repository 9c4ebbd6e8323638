"""Converts one file with each of its presets, and publishes what is proved."""

from __future__ import annotations

import time
from pathlib import Path

from celeriac.families.media.documents import make_document
from celeriac.families.media.ladders import make_ladder
from celeriac.families.media.model import Output
from celeriac.families.media.pictures import make_image
from celeriac.families.media.presets import (
    AudioPreset,
    Chosen,
    DocumentPreset,
    HlsPreset,
    ImagePreset,
    PreviewPreset,
    SpritePreset,
    ThumbnailPreset,
    VideoPreset,
    suffix,
)
from celeriac.families.media.progress import Report, part, titled
from celeriac.families.media.publishing import Publisher
from celeriac.families.media.sounds import make_sound
from celeriac.families.media.stills import make_preview, make_sprite, make_thumbnail
from celeriac.families.media.toolbox import Toolbox
from celeriac.families.media.videos import compliant, make_video

#: How long the name of an artifact may be without its end, in bytes: there is a limit of 200 for all of it.
_STEM_BYTES = 120
_MADE = 96.0


def stem_of(name: str) -> str:
    """The source's name without its extension, as the beginning of names of artifacts."""
    stem = name.rpartition(".")[0] or name
    return stem.encode()[:_STEM_BYTES].decode("utf-8", "ignore").strip(". ") or "file"


async def convert(box: Toolbox, chosen: list[Chosen], publisher: Publisher, report: Report) -> list[Output]:
    """Make all outputs, one after another."""
    outputs: list[Output] = []
    for number, one in enumerate(chosen):
        share = part(report, 100 * number / len(chosen), 100 * (number + 1) / len(chosen))
        outputs.append(await _convert(box, one, publisher, titled(share, one.name)))
    return outputs


async def _convert(box: Toolbox, chosen: Chosen, publisher: Publisher, report: Report) -> Output:
    began = time.monotonic()
    preset, stem = chosen.preset, stem_of(box.source.name)
    name = f"{stem}{suffix(chosen)}"
    names = [name, f"{name.rpartition('.')[0]}.vtt"] if isinstance(preset, SpritePreset) else [name]

    def output(state: str, files: list[str], detail: str) -> Output:
        return Output(chosen.name, state, files, round(time.monotonic() - began, 3), detail)

    if isinstance(preset, VideoPreset) and compliant(box, preset):
        return output("compliant", [], f"{box.source.name} is what {chosen.name} would make")
    if publisher.earlier.issuperset(names) and not isinstance(preset, HlsPreset):
        return output("kept", names, "made by an earlier run")
    report(0, "")
    if isinstance(preset, HlsPreset):
        files, detail = await make_ladder(box, preset, name, f"{stem}-{chosen.name}", publisher, report)
        return output("made", files, detail)
    made = box.work / f"made{Path(name).suffix}"
    making = part(report, 0, _MADE)
    detail = await _make(box, preset, made, names, making)
    for number, (file, published) in enumerate(zip((made, made.with_suffix(".vtt")), names, strict=False)):
        begin, end = (_MADE + (100 - _MADE) * n / len(names) for n in (number, number + 1))
        await publisher.publish(file, published, part(report, begin, end))
        file.unlink()  # the disk has room for one output at a time
    return output("made", names, detail)


async def _make(
    box: Toolbox,
    preset: VideoPreset | AudioPreset | ThumbnailPreset | SpritePreset | PreviewPreset | ImagePreset | DocumentPreset,
    made: Path,
    names: list[str],
    report: Report,
) -> str:
    match preset:
        case VideoPreset():
            return await make_video(box, preset, made, report)
        case AudioPreset():
            return await make_sound(box, preset, made, report)
        case ThumbnailPreset():
            return await make_thumbnail(box, preset, made, report)
        case SpritePreset():
            return await make_sprite(box, preset, made, made.with_suffix(".vtt"), names[0], report)
        case PreviewPreset():
            return await make_preview(box, preset, made, report)
        case ImagePreset():
            return await make_image(box, preset, made, report)
        case DocumentPreset():
            return await make_document(box, preset, made, report)
