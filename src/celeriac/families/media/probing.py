"""Looks at a file before anything is made of it, in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from celeriac.families.media.confined import Limits
from celeriac.families.media.errors import ConversionFailed, MediaRefused
from celeriac.families.media.formats import category_of, demuxer_of, image_format_of, is_markup
from celeriac.families.media.model import LocalFile, MediaFacts
from celeriac.families.media.settings import MediaSettings
from celeriac.families.media.toolbox import ask
from celeriac.families.media.wholeness import missing

#: Seconds for one look, and for reading all of a file whose duration does not stand in it.
_LOOK_S, _MEASURE_S = 20.0, 1800.0
_MEMORY_BYTES = 4 * 1_073_741_824


async def probe(file: LocalFile, own: MediaSettings, work: Path, *, measure: bool = False) -> MediaFacts:
    """Find out what a file has. Its bytes are read, but little is decoded. `measure` reads all of it if it must.

    Raises:
        MediaRefused: it is broken, not what it says, or larger than accepted. The message says which.
    """
    category = category_of(file.content_type, file.name, file.size)
    known: dict[str, Any] = {"category": category, "content_type": file.content_type, "size": file.size}
    if category == "document":
        most, setting = own.media_max_office_bytes, "CELERIAC_MEDIA_MAX_OFFICE_BYTES"
        if is_markup(file.content_type):
            most, setting = own.media_max_document_bytes, "CELERIAC_MEDIA_MAX_DOCUMENT_BYTES"
        if file.size > most:
            raise MediaRefused(
                f"{file.name!r} cannot be converted: it has {file.size:,} bytes; {most:,} are accepted ({setting})"
            )
        return MediaFacts(format=file.content_type.rpartition("/")[2], **known)
    if category == "image":
        request: dict[str, Any] = {
            "act": "look",
            "path": str(file.path),
            "format": image_format_of(file.content_type),
            "pixels": own.media_max_image_pixels,
            "frames": own.media_max_frames,
        }
        return MediaFacts(**known, **await _asked("edit_image", request, file, own, work))
    demuxer = demuxer_of(file.content_type)
    if fault := await asyncio.to_thread(missing, file.path, demuxer):
        raise MediaRefused(f"{file.name!r} cannot be converted: {fault}")
    request = {
        "act": "look",
        "path": str(file.path),
        "demuxer": demuxer,
        "measure": measure,
        "caps": {
            "streams": own.media_max_streams,
            "pixels": own.media_max_pixels,
            "frames": own.media_max_frames,
            "duration": own.media_max_duration,
        },
    }
    found = MediaFacts(**known, **await _asked("inspect_media", request, file, own, work, measure=measure))
    return found if found.video else found.model_copy(update={"category": "audio"})


async def _asked(
    name: str, request: dict[str, Any], file: LocalFile, own: MediaSettings, work: Path, *, measure: bool = False
) -> dict[str, Any]:
    limits = Limits(
        memory_bytes=min(_MEMORY_BYTES, own.media_memory_bytes),
        cpu_s=min(int(_MEASURE_S), own.media_cpu_seconds),
        file_bytes=1_048_576,
        seconds=_MEASURE_S if measure else _LOOK_S,
        strict=own.media_require_confinement,
    )
    try:
        answer = await ask(name, request, limits, work)
    except ConversionFailed as error:  # it broke what looked at it
        raise MediaRefused(f"{file.name!r} cannot be converted: looking at it failed: {error}") from None
    if "fault" in answer:
        raise MediaRefused(f"{file.name!r} cannot be converted: {answer['fault']}")
    return answer
