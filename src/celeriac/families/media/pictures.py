"""Makes images of images."""

from __future__ import annotations

from pathlib import Path

from celeriac.families.media.formats import image_format_of
from celeriac.families.media.presets import ImagePreset
from celeriac.families.media.progress import Report
from celeriac.families.media.toolbox import Toolbox


async def make_image(box: Toolbox, preset: ImagePreset, made: Path, report: Report) -> str:
    """Make the image, and say its size."""
    report(5, "converting")
    found = await box.script(
        "edit_image",
        {
            "act": "convert",
            "path": str(box.source.path),
            "format": image_format_of(box.source.content_type),
            "pixels": box.own.media_max_image_pixels,
            "to": preset.format,
            "made": str(made),
            **preset.model_dump(include={"width", "height", "crop", "box", "quality"}),
        },
    )
    return f"{found['width']} x {found['height']}"
