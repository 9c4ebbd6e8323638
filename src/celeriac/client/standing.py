"""Whether a job will go on."""

from __future__ import annotations

from celeriac.client.client import JobClient
from celeriac.core.errors import BrokerUnavailable, UnknownJob


async def has_ended(client: JobClient, job_id: str) -> bool:
    """Return whether the broker knows that a job has ended. One that it does not know may be at work."""
    try:
        return (await client.get(job_id)).state.finished
    except (UnknownJob, BrokerUnavailable):
        return False
