"""The job that deletes files whose time is over, and its schedule."""

from __future__ import annotations

import logging

from celeriac.engine.app import JobApp

log = logging.getLogger("celeriac")

NAME = "celeriac.sweep_files"


def register(app: JobApp, every: float) -> None:
    """Add the job to `app`, and have beat enqueue it every so many seconds."""

    async def sweep() -> dict[str, int]:
        """Delete artifacts and uploads that are older than the settings say, and what crashes have left."""
        artifacts, uploads = await app.storage.sweep()
        deleted = {"expired": artifacts.expired, "orphans": artifacts.orphans, "uploads": uploads}
        if any(deleted.values()):
            log.info("deleted %(expired)d artifacts, %(orphans)d files without a record, %(uploads)d uploads", deleted)
        return {**deleted, "freed_bytes": artifacts.freed_bytes}

    job = app.job(name=NAME, exposed=False)(sweep)
    app.schedule(NAME, job.call(), every=every)
