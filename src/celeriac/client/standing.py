"""Whether a job will go on."""

from __future__ import annotations

from celeriac.client.client import JobClient
from celeriac.core.errors import BrokerUnavailable, UnknownJob
from celeriac.core.states import JobState


async def end_of(client: JobClient, job_id: str) -> JobState | None:
    """Return how a job has ended, as far as the broker knows. One that it does not know may be at work: None."""
    try:
        state = (await client.get(job_id)).state
    except (UnknownJob, BrokerUnavailable):
        return None
    return state if state.finished else None


async def has_ended(client: JobClient, job_id: str) -> bool:
    """Return whether the broker knows that a job has ended."""
    return await end_of(client, job_id) is not None


async def will_not_go_on(client: JobClient, job_id: str) -> bool:
    """Return whether another job may do the work of this one: it has ended, or the broker has lost it.

    A worker may be at a lost one still, so whatever it commits has to be fenced (`database.leases`).

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    try:
        return (await client.get(job_id)).state.finished
    except UnknownJob:
        return True
