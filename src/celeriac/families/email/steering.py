"""Starts, pauses, resumes and cancels mailings: first in the database, where it takes effect, then their jobs."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from celeriac.client.client import JobClient
from celeriac.client.options import EnqueueOptions
from celeriac.core.clock import to_datetime
from celeriac.core.errors import BrokerUnavailable, JobExists, UnknownJob, WrongState
from celeriac.core.records import JobRecord
from celeriac.core.states import JobState
from celeriac.families.email.jobs import EmailJobs
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, MailingState, progress

#: How long a job that was cancelled may take to end before another run of it can begin.
_ENDS_WITHIN_S, _LOOK_EVERY_S = 15.0, 0.05
#: What has become of a mailing, as its job tells.
_TOLD = {
    JobState.CANCELLED: (MailingState.STOPPED, "its job was cancelled; resume the mailing to go on"),
    JobState.FAILED: (MailingState.STOPPED, "its job has failed; resume the mailing to go on"),
    JobState.DEAD: (MailingState.STOPPED, "its job was given up; resume the mailing to go on"),
}


class Steering:
    """What people do with mailings. Every method may raise `DatabaseUnavailable`, or `UnknownJob` for an unknown id."""

    def __init__(self, client: JobClient, jobs: EmailJobs) -> None:
        self._client = client
        self._jobs = jobs
        self._life = jobs.ledger.life

    async def start(self, mailing_id: str) -> None:
        """Start a draft, or have it start at its time.

        Raises:
            WrongState: it is no draft.
            BrokerUnavailable: the broker did not confirm in time. Resume the mailing later.
        """
        await self._life.start(mailing_id)
        await self._enqueue(await self._jobs.ledger.mailing(mailing_id))

    async def pause(self, mailing_id: str) -> None:
        """Send nothing until somebody resumes it. Mails that are being sent are finished. Raises `WrongState`."""
        await self._life.pause(mailing_id)
        await self._cancel_job(mailing_id)

    async def cancel(self, mailing_id: str) -> None:
        """Send nothing any more. Mails that are being sent are finished. Raises `WrongState`."""
        await self._life.cancel(mailing_id)
        await self._cancel_job(mailing_id)

    async def resume(self, mailing_id: str) -> None:
        """Go on with a mailing that was paused or has stopped, or whose job has ended without it.

        Raises:
            WrongState: it is in another state, or the time that its sender has set is over.
            BrokerUnavailable: the broker did not confirm in time. Resume it again.
        """
        mailing = await self._jobs.ledger.mailing(mailing_id)
        job = await self._job(mailing_id)
        orphaned = mailing.state in (MailingState.SENDING, MailingState.SCHEDULED) and _has_ended(job)
        await self._life.resume(mailing_id, also=(mailing.state,) if orphaned else ())
        await self._cancel_job(mailing_id)  # chunks of before may wait for hours
        await self._run_again(await self._jobs.ledger.mailing(mailing_id))

    async def seen(self, mailing: Mailing) -> tuple[MailingState, str | None]:
        """Return the state of a mailing, and why it stopped; also if its job has ended without it."""
        if mailing.state not in (MailingState.SENDING, MailingState.SCHEDULED):
            return mailing.state, mailing.stopped
        try:
            job = await self._job(mailing.id)
        except BrokerUnavailable:
            return mailing.state, mailing.stopped
        if job is None:
            return MailingState.STOPPED, "its job is unknown to the broker; resume the mailing to go on"
        return _TOLD.get(job.state, (mailing.state, mailing.stopped))

    async def _job(self, mailing_id: str) -> JobRecord | None:
        try:
            return await self._client.get(mailing_id)
        except UnknownJob:
            return None

    async def _cancel_job(self, mailing_id: str) -> None:
        """Cancel the job, so that its chunks end at once. Without that, they end before their next mail."""
        with suppress(UnknownJob, WrongState, BrokerUnavailable):
            await self._client.cancel(mailing_id)

    async def _run_again(self, mailing: Mailing) -> None:
        give_up = time.monotonic() + _ENDS_WITHIN_S
        while time.monotonic() < give_up:
            try:
                await self._client.retry(mailing.id)
                return
            except UnknownJob:
                await self._enqueue(mailing)
                return
            except WrongState:
                job = await self._job(mailing.id)
                if job is not None and not job.state.finished and not job.cancel_requested:
                    return  # somebody else has run it again
            await asyncio.sleep(_LOOK_EVERY_S)
        raise WrongState(f"the job of mailing {mailing.id} has not ended yet; resume the mailing again in a moment")

    async def _enqueue(self, mailing: Mailing) -> None:
        with suppress(JobExists):  # a second call, after a lost reply
            await self._client.submit(self._jobs.mailing.call(mailing.id), options_of(mailing))


async def described(ledger: Ledger, steering: Steering, mailings: list[Mailing]) -> list[dict[str, Any]]:
    """Return what is shown of mailings: their facts, their states, and the numbers of their recipients."""
    counts = await ledger.counts_of([mailing.id for mailing in mailings])
    found: list[dict[str, Any]] = []
    for mailing in mailings:
        state, stopped = await steering.seen(mailing)
        found.append({**progress(mailing, counts[mailing.id]), "state": state, "stopped": stopped})
    return found


def options_of(mailing: Mailing, *, key: str | None = None, fingerprint: str | None = None) -> EnqueueOptions:
    """Return how the job of a mailing is enqueued: under the mailing's id, and at its time."""
    at = to_datetime(mailing.send_at) if mailing.send_at is not None else None
    later = at is not None and at > datetime.now(UTC)
    return EnqueueOptions(job_id=mailing.id, idempotency_key=key, fingerprint=fingerprint, at=at if later else None)


def _has_ended(job: JobRecord | None) -> bool:
    return job is None or job.state.finished
