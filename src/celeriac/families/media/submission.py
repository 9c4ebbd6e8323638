"""Accepts a conversion: finds the file and the presets, and enqueues the job."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, ConfigDict, Field

from celeriac.client.options import EnqueueOptions
from celeriac.core.records import JobRecord
from celeriac.families.media import programs
from celeriac.families.media.formats import category_of, is_markup
from celeriac.families.media.jobs import MediaJobs
from celeriac.families.media.presets import PresetChoice, choose
from celeriac.families.media.settings import MediaSettings
from celeriac.families.media.sources import SourceChoice, check_fit, find
from celeriac.family import Host


class ConversionRequest(BaseModel):
    """A file, and what to make of it."""

    model_config = ConfigDict(extra="forbid")

    source: SourceChoice
    presets: list[str | PresetChoice] = Field(
        min_length=1, max_length=20, description="Names, or objects with a name and values in place of the preset's"
    )


async def submit(
    host: Host, own: MediaSettings, jobs: MediaJobs, request: ConversionRequest, *, owner: str, key: str | None
) -> JobRecord:
    """Check what can be checked at once, enqueue the job, and return its record.

    Raises:
        PresetInvalid, MediaRefused, UnknownUpload, UnknownArtifact: what to change.
        ConverterMissing: a program is not there. API and workers are expected to have the same.
    """
    chosen = choose(request.presets, own.media_presets)
    source = await find(host.app.storage, request.source, owner=owner, library=own.media_library)
    check_fit(source, chosen)
    category = category_of(source.content_type, source.name, source.size)
    if category in ("video", "audio"):
        await asyncio.to_thread(programs.ffmpeg, own)
    elif category == "document" and not is_markup(source.content_type):
        await asyncio.to_thread(programs.soffice, own)
    return await host.app.client.submit(jobs.convert.call(source, chosen), EnqueueOptions(idempotency_key=key))
