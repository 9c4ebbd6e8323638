"""Jobs besides the runs: to look at what a run would do, and to put archived rows back."""

from __future__ import annotations

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.errors import DatabaseRefused, DatabaseUnavailable
from celeriac.core.retry import Retry
from celeriac.engine.app import JobApp
from celeriac.families.cleanup import dry_run
from celeriac.families.cleanup.dry_run import Preview
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies
from celeriac.families.cleanup.restoring import RestoreResult, restore_run
from celeriac.families.cleanup.settings import CleanupSettings

#: Somebody waits for these.
_RETRY = Retry(attempts=3, on=(DatabaseUnavailable,), never=(DatabaseRefused,))


def register_dry_run(app: JobApp, policies: Policies, places: Places, settings: CleanupSettings) -> Job[..., Preview]:
    """Add the job that looks at what a run would do."""

    @app.job(
        name="celeriac.cleanup.dry_run", retry=_RETRY, exposed=False, queue=settings.cleanup_queue, log_result=False
    )
    async def look(policy: str) -> Preview:
        """Count the rows that a run would change, and show some of them. Nothing is changed."""
        chosen = await policies.fresh(policy)
        return await dry_run.preview(places.of(chosen), chosen, places.databases.get)

    return look


def register_restore(
    app: JobApp, policies: Policies, places: Places, settings: CleanupSettings
) -> Job[..., RestoreResult]:
    """Add the job that puts archived rows back."""

    @app.job(name="celeriac.cleanup.restore", retry=_RETRY, exposed=False, queue=settings.cleanup_queue)
    async def restore(job: JobContext, asked: RestoreForm, who: str) -> RestoreResult:
        """Put the rows of an archive back. A second run leaves those alone that are there."""
        chosen = await policies.fresh(asked.policy)
        return await restore_run(places.of(chosen), chosen, asked, job, who)

    return restore
