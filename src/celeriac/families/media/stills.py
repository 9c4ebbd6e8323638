"""Makes pictures of videos: a thumbnail, a sheet of small ones with WebVTT, and a short animation."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from urllib.parse import quote

from celeriac.families.media.encoding import whole_pictures
from celeriac.families.media.errors import MediaRefused, OutputFaulty
from celeriac.families.media.presets import PreviewPreset, SpritePreset, ThumbnailPreset
from celeriac.families.media.progress import Report, part
from celeriac.families.media.toolbox import FFMPEG, Toolbox
from celeriac.families.media.videos import picture_of

_QUALITY = 82
#: Of so many pictures, the one is taken that is most like the others.
_TYPICAL_OF = 50
#: WebP and JPEG have no larger sides.
_LARGEST_SIDE = 16_000


async def make_thumbnail(box: Toolbox, preset: ThumbnailPreset, made: Path, report: Report) -> str:
    """Make the picture, and say its size."""
    stream, duration = picture_of(box), _length(box)
    if preset.at is not None and preset.at >= duration:
        raise MediaRefused(f"{box.source.name!r} has no picture at {preset.at:g} s: it lasts {duration:.2f} s")
    width, height = _size(box, preset.width)
    # The last picture begins before the end.
    start = min(duration * 0.1 if preset.at is None else preset.at, max(0.0, duration - 1.5 / (stream.fps or 25)))
    choice = f"thumbnail={_TYPICAL_OF}" if preset.at is None else ""
    raw = box.work / "thumbnail.png"
    await box.ffmpeg(
        [
            *(*FFMPEG, *box.input(start=start), "-map", f"0:{stream.index}"),
            *("-vf", _chain(box, choice, (width, height)), "-frames:v", "1", "-update", "1"),
            *("-f", "image2", "-c:v", "png", str(raw)),
        ],
        None,
        report,
    )
    if not raw.exists():
        raise OutputFaulty(
            f"what was made of {box.source.name!r} is not published: there is no picture at {start:.2f} s"
        )
    request = {
        **{"act": "convert", "path": str(raw), "format": "PNG", "pixels": box.own.media_max_pixels},
        **{"to": preset.format, "made": str(made), "width": None, "height": None, "crop": False, "quality": _QUALITY},
    }
    found = await box.script("edit_image", request)
    return f"{found['width']} x {found['height']}, at {start:.2f} s"


async def make_sprite(box: Toolbox, preset: SpritePreset, made: Path, vtt: Path, name: str, report: Report) -> str:
    """Make the sheet, and the WebVTT file that says which part of the sheet, named `name`, shows which time."""
    stream, duration = picture_of(box), _length(box)
    width, height = _size(box, preset.width)
    most = min(preset.max_pictures, preset.columns * (_LARGEST_SIDE // height))
    every = max(preset.every, duration / most)
    await box.ffmpeg(
        [
            *(*FFMPEG, *box.input(), "-map", f"0:{stream.index}"),
            *("-vf", _chain(box, f"fps=1/{every:.4f}:start_time=0:round=up", (width, height))),
            *("-frames:v", str(math.ceil(duration / every)), "-f", "image2", "-c:v", "png"),
            str(box.work / "picture-%05d.png"),
        ],
        duration,
        part(report, 0, 90),
    )
    pictures = sorted(box.work.glob("picture-*.png"))
    if not pictures or len(pictures) < duration / every * 0.99 - 1:
        raise OutputFaulty(
            f"what was made of {box.source.name!r} is not published: {len(pictures)} pictures "
            f"instead of {math.ceil(duration / every)}"
        )
    await box.script(
        "edit_image",
        {
            **{"act": "sheet", "pictures": list(map(str, pictures)), "columns": preset.columns},
            **{"size": (width, height), "to": "jpeg", "made": str(made), "quality": _QUALITY},
        },
    )
    text = cues(len(pictures), every, duration, preset.columns, (width, height), name)
    await asyncio.to_thread(vtt.write_text, text)
    for picture in pictures:
        picture.unlink()
    return f"{len(pictures)} pictures of {width} x {height}, every {every:.3g} s"


def cues(count: int, every: float, duration: float, columns: int, size: tuple[int, int], name: str) -> str:
    """The WebVTT file of a sheet: for each time the place of its picture, as a media fragment (`#xywh=`)."""
    lines = ["WEBVTT"]
    for number in range(count):
        end = duration if number == count - 1 else min(duration, (number + 1) * every)
        left, top = number % columns * size[0], number // columns * size[1]
        place = f"{quote(name)}#xywh={left},{top},{size[0]},{size[1]}"
        lines += ["", f"{_time(number * every)} --> {_time(end)}", place]
    return "\n".join([*lines, ""])


def _time(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    hours, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


async def make_preview(box: Toolbox, preset: PreviewPreset, made: Path, report: Report) -> str:
    """Make an animation of moments that are spread over the video."""
    stream, duration = picture_of(box), _length(box)
    width, height = _size(box, preset.width)
    # A video that is not longer than its moments together is shown as a whole.
    moments = preset.moments if duration > preset.moments * preset.seconds else 1
    length = preset.seconds if moments > 1 else min(duration, preset.moments * preset.seconds)
    pictures: list[Path] = []
    for number in range(moments):
        start = (duration - length) * (number + 0.5) / moments
        await box.ffmpeg(
            [
                *(*FFMPEG, *box.input(start=start, length=length), "-map", f"0:{stream.index}"),
                *("-vf", _chain(box, f"fps={preset.fps}:round=up", (width, height)), "-f", "image2", "-c:v", "png"),
                str(box.work / f"moment-{number:02d}-%04d.png"),
            ],
            length,
            part(report, 85 * number / moments, 85 * (number + 1) / moments),
        )
        pictures += sorted(box.work.glob(f"moment-{number:02d}-*.png"))
    if len(pictures) < moments:
        raise OutputFaulty(f"what was made of {box.source.name!r} is not published: it has {len(pictures)} pictures")
    await box.script(
        "edit_image",
        {
            **{"act": "animate", "pictures": list(map(str, pictures)), "step": round(1000 / preset.fps)},
            **{"to": preset.format, "made": str(made), "quality": 70},
        },
    )
    for picture in pictures:
        picture.unlink()
    return f"{len(pictures)} pictures of {width} x {height}"


def _size(box: Toolbox, width: int) -> tuple[int, int]:
    """The size for a width, which is never larger than the source."""
    shown = picture_of(box).shown
    factor = min(1.0, width / shown[0])
    return max(2, round(shown[0] * factor)), max(2, round(shown[1] * factor))


def _length(box: Toolbox) -> float:
    """Seconds of the pictures. The sound may go on after them."""
    return min(box.duration, picture_of(box).end or box.duration)


def _chain(box: Toolbox, choice: str, size: tuple[int, int]) -> str:
    """The filters that choose pictures, and make them whole and small."""
    scaled = (f"scale={size[0]}:{size[1]}", "setsar=1")
    return ",".join(filter(None, (choice, *whole_pictures(picture_of(box)), *scaled)))
