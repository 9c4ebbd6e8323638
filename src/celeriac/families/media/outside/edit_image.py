"""Reads and makes images with Pillow. Reads a request from standard input as JSON, and writes the answer.

`look`: size and frames. `convert`: another format and size. `sheet`: many pictures on one. `animate`: many in a row.
The answer to a fault is `{"fault": text}`. What is written is read again before the answer.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageOps

Request = dict[str, Any]
Size = tuple[int, int]

cms: Any = ImageCms  # its types are not complete

#: How EXIF's orientation turns an image whose sides change places.
_SIDEWAYS = (5, 6, 7, 8)
_ORIENTATION = 274
#: Images up to this size are decoded in a fraction of a second.
_QUICK_PIXELS = 16_000_000
#: What a format's own header can say.
_LARGEST_SIDE = {"webp": 16_383, "jpeg": 65_500, "avif": 65_535}
_FORMATS = {"jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF", "png": "PNG", "gif": "GIF"}


class Fault(Exception):
    """The image is not as it should be."""


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        answer = {"look": look, "convert": convert, "sheet": sheet, "animate": animate}[request["act"]](request)
    except Fault as fault:
        answer = {"fault": str(fault)}
    sys.stdout.write(json.dumps(answer))


def look(request: Request) -> Request:
    """The size of the upright image, and how many frames it has. One that is not large is decoded, too."""
    with _opened(request) as image:
        width, height = image.size
        try:
            frames = _frames(image)
            # Those of a PNG may follow its pixels, which are read for that.
            is_quick = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(_ORIENTATION) if is_quick else None
            if width * height <= _QUICK_PIXELS:
                image.seek(0)
                image.draft(None, (width // 8, height // 8))  # all of a JPEG is read for that as well
                image.load()
                orientation = image.getexif().get(_ORIENTATION)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise Fault(f"it is broken: {error}") from None
        if orientation in _SIDEWAYS:
            width, height = height, width
        if frames > request["frames"]:
            raise Fault(f"it has {frames:,} frames; {request['frames']:,} are accepted")
        return {"format": image.format.lower(), "width": width, "height": height, "frames": frames}


def _frames(image: Any) -> int:
    """How many frames the image has. Some formats have to be read to their end for that."""

    def give_up(_number: int, _frame: Any) -> None:
        raise Fault("it has so many frames that they cannot be counted in a second")

    signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, 1.0)  # of CPU time
    try:
        return int(getattr(image, "n_frames", 1))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def convert(request: Request) -> Request:
    """Make another image of the first frame: upright, in sRGB, cut, shrunk, and without anything but its pixels."""
    with _opened(request) as image:
        try:
            upright = _upright(image, request)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise Fault(f"it is broken: {error}") from None
    if request.get("box"):
        left, top, right, bottom = request["box"]
        if not (0 <= left < right <= upright.width and 0 <= top < bottom <= upright.height):
            raise Fault(f"the box {request['box']} is not inside its {upright.width} x {upright.height} pixels")
        upright = upright.crop((left, top, right, bottom))
    upright = _resized(upright, request)
    if max(upright.size) > (most := _LARGEST_SIDE.get(request["to"], max(upright.size))):
        size = f"{upright.width} x {upright.height}"
        raise Fault(f"it has {size} pixels, and a side has at most {most:,} in {request['to']}: name a smaller width")
    _save(upright, request["to"], request["made"], request["quality"])
    return _checked(request["to"], request["made"], upright.size)


def sheet(request: Request) -> Request:
    """Put pictures of one size side by side, row by row."""
    columns, (width, height) = request["columns"], request["size"]
    pictures = request["pictures"]
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (width * min(columns, len(pictures)), height * rows))
    for number, path in enumerate(pictures):
        with Image.open(path, formats=("PNG",)) as picture:
            whole.paste(picture.convert("RGB"), (number % columns * width, number // columns * height))
    _save(whole, request["to"], request["made"], request["quality"])
    return _checked(request["to"], request["made"], whole.size)


def animate(request: Request) -> Request:
    """Show pictures one after another, for `step` milliseconds each, again and again."""
    pictures = [Image.open(path, formats=("PNG",)).convert("RGB") for path in request["pictures"]]
    first, *others = pictures
    more = {"method": 4, "quality": request["quality"]} if request["to"] == "webp" else {"optimize": True}
    first.save(
        request["made"],
        _FORMATS[request["to"]],
        save_all=True,
        append_images=others,
        duration=request["step"],
        loop=0,
        **more,
    )
    return _checked(request["to"], request["made"], first.size)


def _opened(request: Request) -> Any:
    Image.MAX_IMAGE_PIXELS = None  # our own cap is checked below, also for what it would only warn of
    warnings.simplefilter("ignore")
    try:
        image = Image.open(request["path"], formats=(request["format"],))
    except Exception as error:  # Pillow's readers raise what they like on broken files
        raise Fault(f"it is no image in the format {request['format']} that can be read: {_said(error)}") from None
    if image.width * image.height > request["pixels"]:
        size = f"{image.width} x {image.height}"
        image.close()
        raise Fault(f"it has {size} pixels; {request['pixels']:,} are accepted (CELERIAC_MEDIA_MAX_IMAGE_PIXELS)")
    return image


def _said(error: Exception) -> str:
    text = str(error).partition(" '/")[0].partition("<")[0].strip()
    return text or type(error).__name__


def _upright(image: Any, request: Request) -> Any:
    if image.format == "JPEG" and not request.get("box"):
        target = _target(image.size, request)  # a JPEG can be decoded at a half, a quarter or an eighth of its size
        image.draft("RGB", (target[0] * 2, target[1] * 2))
    image.load()
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    return _bare(_srgb(upright, profile))


def _srgb(image: Any, profile: bytes | None) -> Any:
    """Convert to sRGB, as the profile is not kept."""
    if image.mode.startswith("I;16"):  # 16 bits of grey, of which `convert` would cut off all but the darkest
        image = image.convert("I").point([value >> 8 for value in range(65_536)], "L")
    if image.mode in ("P", "PA", "LA", "1", "I", "F"):
        image = image.convert("RGBA" if image.mode in ("PA", "LA") or "transparency" in image.info else "RGB")
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            source = cms.ImageCmsProfile(io.BytesIO(profile))
            image = cms.profileToProfile(image, source, cms.createProfile("sRGB"), outputMode=_mode(image))
        except (cms.PyCMSError, OSError, ValueError):
            pass  # a broken profile: the pixels are taken as they are
    return image if image.mode in ("RGB", "RGBA") else image.convert(_mode(image))


def _mode(image: Any) -> str:
    return "RGBA" if image.mode in ("RGBA", "RGBa") else "RGB"


def _bare(image: Any) -> Any:
    """The pixels alone: formats take EXIF, GPS, profiles and comments from an image's notes."""
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    return bare


def _target(size: Size, request: Request) -> Size:
    """The size to shrink to, before anything is cut off. Never larger than the image."""
    width, height = size
    ratios = [wanted / have for wanted, have in ((request["width"], width), (request["height"], height)) if wanted]
    if not ratios:
        return size
    factor = min(1.0, max(ratios) if request["crop"] and len(ratios) == 2 else min(ratios))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _resized(image: Any, request: Request) -> Any:
    target = _target(image.size, request)
    if target != image.size:
        image = image.resize(target, Image.Resampling.LANCZOS)
    if request["crop"] and request["width"] and request["height"]:
        width, height = min(request["width"], image.width), min(request["height"], image.height)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return image


def _save(image: Any, to: str, made: str, quality: int) -> None:
    options: dict[str, Any] = {"quality": quality}
    if to == "png":
        options = {"optimize": True}
    elif to == "jpeg":
        if image.mode == "RGBA":  # JPEG has no transparency
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            image = white
        options |= {"optimize": True, "progressive": True}
    elif to == "webp":
        options |= {"method": 4}
    image.save(made, _FORMATS[to], **options)


def _checked(to: str, made: str, size: Size) -> Request:
    try:
        with Image.open(made, formats=(_FORMATS[to],)) as again:
            again.load()
            found = again.size
    except Exception as error:
        raise Fault(f"what was made of it cannot be read: {error}") from None
    if found != size:
        raise Fault(f"what was made of it has {found} pixels instead of {size}")
    return {"width": size[0], "height": size[1], "bytes": Path(made).stat().st_size}


if __name__ == "__main__":
    main()
