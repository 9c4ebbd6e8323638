"""The job that converts a file: it looks at the file first, and then makes each output, a few files at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.errors import ConfigurationError, FileTooLarge, StorageFull
from celeriac.core.retry import Retry
from celeriac.families.media.confined import Limits
from celeriac.families.media.conversion import convert
from celeriac.families.media.errors import (
    ConversionLimited,
    ConversionStalled,
    ConverterMissing,
    MediaRefused,
    OutputFaulty,
)
from celeriac.families.media.model import MediaFacts, MediaOutcome, Source
from celeriac.families.media.presets import Chosen
from celeriac.families.media.probing import probe
from celeriac.families.media.progress import Report, part
from celeriac.families.media.publishing import Publisher
from celeriac.families.media.settings import MediaSettings
from celeriac.families.media.sources import bring
from celeriac.families.media.toolbox import Toolbox
from celeriac.families.media.workspace import workspace_in_thread
from celeriac.family import Host

_LOOKED = 1.0
#: How much a request may fetch from a bucket, in bytes.
_LARGEST_FETCHED = 1_073_741_824
#: What would end the same way again.
_NEVER = (
    *(MediaRefused, ConverterMissing, ConversionLimited, ConversionStalled, OutputFaulty),
    *(StorageFull, FileTooLarge, ConfigurationError),
)


@dataclass(frozen=True, slots=True)
class MediaJobs:
    """The jobs of conversions."""

    convert: Job[[Source, list[Chosen]], MediaOutcome]


def register(host: Host, own: MediaSettings) -> MediaJobs:
    """Add the job to the host's application."""
    slots = _Slots(own.media_slots)

    @host.app.job(name="celeriac.media.convert", retry=Retry(attempts=3, backoff=2.0, never=_NEVER), exposed=False)
    async def convert_file(job: JobContext, source: Source, presets: list[Chosen]) -> MediaOutcome:
        """Make outputs of a file, by presets, and publish them as artifacts of this job."""
        report = _reporting(job)
        report(0, "waiting for a free slot")
        async with slots.of_this_loop():
            limit = asyncio.timeout(own.media_timeout)
            try:
                async with limit:
                    return await _run(host, own, job, source, presets, report)
            except TimeoutError:
                if not limit.expired():
                    raise
                raise ConversionLimited(
                    f"the conversion was ended after {own.media_timeout:g} s (CELERIAC_MEDIA_TIMEOUT)"
                ) from None

    return MediaJobs(convert_file)


async def _run(
    host: Host, own: MediaSettings, job: JobContext, source: Source, presets: list[Chosen], report: Report
) -> MediaOutcome:
    storage = host.app.storage
    async with workspace_in_thread(own.media_work_dir, job.id) as work:
        report(0, "looking at the file")
        reserve = host.settings.storage_reserve_bytes
        file = await bring(storage, source, work, part(report, 0, _LOOKED), reserve_bytes=reserve)
        facts = await probe(file, own, work, measure=True)
        report(_LOOKED, "")
        box = Toolbox(
            own=own,
            source=file,
            facts=facts,
            work=work,
            limits=limits_of(host, own),
            reserve_bytes=reserve,
        )
        publisher = await Publisher.of(job, storage.artifacts)
        outputs = await convert(box, presets, publisher, part(report, _LOOKED, 100))
        report(100, "")
        return MediaOutcome(source=source.name, duration=facts.duration, outputs=outputs)


def limits_of(host: Host, own: MediaSettings) -> Limits:
    """What one run of a converter may use."""
    return Limits(
        memory_bytes=own.media_memory_bytes,
        cpu_s=own.media_cpu_seconds,
        file_bytes=host.settings.max_file_bytes,
        seconds=own.media_timeout,
        also=tuple(own.media_also_open),
        strict=own.media_require_confinement,
    )


async def look(own: MediaSettings, host: Host, source: Source) -> MediaFacts:
    """Say what a file of the storage has, without making anything of it.

    Raises:
        MediaRefused: it is broken, or so large that it takes long to fetch from a bucket.
    """
    if host.app.storage.location.folder is None and source.size > _LARGEST_FETCHED:
        raise MediaRefused(f"{source.name!r} is too large to look at in a request: a conversion looks at it first")
    async with workspace_in_thread(own.media_work_dir, "look", hurry=True) as work:
        reserve = host.settings.storage_reserve_bytes
        file = await bring(host.app.storage, source, work, lambda _percent, _text: None, reserve_bytes=reserve)
        return await probe(file, own, work)


def _reporting(job: JobContext) -> Report:
    """Tell the job's progress in percent, which never goes back within a run."""
    highest = 0.0

    def report(percent: float, text: str) -> None:
        nonlocal highest
        highest = max(highest, min(100.0, percent))
        job.progress(round(highest, 1), 100, text)

    return report


class _Slots:
    """Room for so many conversions at a time. Each event loop of the process has its own."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._of: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def of_this_loop(self) -> asyncio.Semaphore:
        return self._of.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._count))
