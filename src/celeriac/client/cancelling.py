"""What follows the cancellation of a job."""

from __future__ import annotations

import logging

from celeriac.core.spec import JobSpec

logger = logging.getLogger(__name__)


async def tell_cancelled(spec: JobSpec | None, job_id: str) -> None:
    """Tell the job's application. The job stays cancelled whatever comes of that."""
    if spec is not None and spec.options.on_cancelled is not None:
        try:
            await spec.options.on_cancelled(job_id)
        except Exception:
            logger.exception("what follows the cancellation of job %s has failed", job_id)
