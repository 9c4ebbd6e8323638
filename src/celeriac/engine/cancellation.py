"""Stops the jobs of this process for which a cancellation was requested."""

from __future__ import annotations

import asyncio
import logging
import os

from celeriac.core.background import background
from celeriac.core.errors import BrokerUnavailable
from celeriac.engine.attempts import ActiveAttempts, Attempt
from celeriac.engine.loop import JobLoop
from celeriac.engine.worker_client import WorkerClient
from celeriac.store.jobs.reader import Standing

log = logging.getLogger("celeriac.engine")

#: Time between two looks at the records of the running jobs.
LOOK_EVERY_S = 1.0


class CancellationWatch:
    """Looks at the records of the running jobs once a second, and when a message names one of them.

    Only the record counts: a message may be lost, or name a job with the same id in another database. An attempt is
    also stopped when another worker runs the job, because this one was taken for vanished.
    """

    def __init__(self, loop: JobLoop, client: WorkerClient, attempts: ActiveAttempts) -> None:
        self._loop = loop
        self._client = client
        self._attempts = attempts
        self._pid = 0
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ensure_started(self) -> None:
        """Start the watch of this process, unless it runs. A forked child gets one of its own."""
        if self._pid != os.getpid() or (self._task is not None and self._task.done()):
            self._pid = os.getpid()
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._heard = asyncio.Event()
        self._task = background(self._watch(), name="celeriac-cancellations")

    async def _watch(self) -> None:
        async with self._client.cancellations(self._on_message):
            while True:
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._heard.wait()
                except TimeoutError:
                    pass
                self._heard.clear()
                await self._look()

    def _on_message(self, payload: bytes | None) -> None:
        job_id = (payload or b"").decode()
        if payload is None or any(job_id in (attempt.job_id, attempt.parent_id) for attempt in self._attempts.all()):
            self._heard.set()

    async def _look(self) -> None:
        attempts = self._attempts.all()
        if not attempts:
            return
        ids = {attempt.job_id for attempt in attempts} | {a.parent_id for a in attempts if a.parent_id}
        try:
            standings = await self._client.standings(sorted(ids))
        except BrokerUnavailable as error:
            log.debug("could not look for cancellations: %s", error)
            return
        for attempt in attempts:
            if _is_to_stop(attempt, standings):
                self._attempts.stop(attempt)


def _is_to_stop(attempt: Attempt, standings: dict[str, Standing]) -> bool:
    own, parents = standings[attempt.job_id], standings.get(attempt.parent_id or "")
    superseded = None not in (own.run, attempt.run) and own.run != attempt.run
    return superseded or own.cancel or (parents is not None and (parents.cancel or _is_left(own, parents)))


def _is_left(own: Standing, parents: Standing) -> bool:
    """Return whether the parent was run again by hand, and does not wait for this child any more."""
    return own.parent_run is not None and own.parent_run != parents.fan_out
