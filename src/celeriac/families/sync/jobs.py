"""The jobs of syncs."""

from __future__ import annotations

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.retry import Retry
from celeriac.engine.app import JobApp
from celeriac.families.sync.definitions import Definitions
from celeriac.families.sync.dry_run import DryRunOutcome, dry_run
from celeriac.families.sync.errors import SyncFailed, SyncInvalid, UnknownSync
from celeriac.families.sync.outcome import SyncOutcome
from celeriac.families.sync.running import OUTAGES, Runner, chosen_streams

RUN = "celeriac.sync.run"
#: Outages last as long as they last. Whatever else goes wrong does so again.
_RETRY = Retry(attempts=1_000_000, backoff=1.0, max_delay=300.0, on=OUTAGES)

_CHANGED = (
    "sync {!r}: the worker has another definition of it than whoever asked for this run, so nothing was written: give "
    "the same file to API, commands and workers, look at a dry run, and ask again"
)
DRY_RUN = "celeriac.sync.dry_run"

RunJob = Job[..., SyncOutcome]
DryRunJob = Job[..., DryRunOutcome]


def register(app: JobApp, definitions: Definitions, runner: Runner, queue: str | None) -> RunJob:
    """Add the job to `app`."""

    async def abandon(job_id: str) -> None:
        await runner.abandon(job_id, definitions)

    @app.job(name=RUN, queue=queue, retry=_RETRY, exposed=False, on_cancelled=abandon)
    async def run(
        job: JobContext,
        sync: str,
        streams: list[str] | None = None,
        full: bool = False,
        seen: str | None = None,
    ) -> SyncOutcome:
        """Read what is new at the source of a sync into its destination.

        `seen` is the digest of the definition as whoever asks has seen it. A schedule takes it as it is.
        """
        try:
            definition = await definitions.fresh(sync)
            chosen_streams(definition.sync, streams)
            if seen not in (None, definition.sync.digest()):
                raise SyncFailed(_CHANGED.format(sync))
        except (UnknownSync, SyncInvalid, SyncFailed) as error:  # an attempt before may wait in the list
            await runner.abandon(job.id, definitions, str(error))
            raise
        return await runner.run(job, definition, streams=streams, full=full)

    return run


def register_dry_run(app: JobApp, definitions: Definitions, runner: Runner, queue: str | None) -> DryRunJob:
    """Add the job of dry runs to `app`. Somebody waits for it, so it fails at the first error."""

    @app.job(name=DRY_RUN, queue=queue, exposed=False, log_result=False)
    async def look(sync: str, streams: list[str] | None = None) -> DryRunOutcome:
        """Ask the source of a sync for first pages, and write nothing."""
        definition = await definitions.fresh(sync)
        return await dry_run(definition, runner.destinations, runner.source(definition), streams)

    return look
