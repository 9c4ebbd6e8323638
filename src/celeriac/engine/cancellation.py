"""Hears which jobs are to be cancelled, and stops those that run in this process."""

from __future__ import annotations

import asyncio
import logging
import os

from celeriac.client.client import JobClient
from celeriac.core.background import background
from celeriac.core.errors import BrokerUnavailable
from celeriac.engine.attempts import ActiveAttempts, Attempt
from celeriac.engine.loop import JobLoop
from celeriac.store.reader import Standing

log = logging.getLogger("celeriac.engine")

#: Seconds between two looks at the records of the jobs that run.
LOOK_EVERY = 1.0


class CancellationWatch:
    """Looks at the records of the jobs that run: when it hears of one of them, and once a second.

    A message alone stops nothing: it may be lost, and it may be of a job with the same id in another database. An
    attempt is also stopped when the job has begun to run elsewhere, after this worker was taken for vanished.
    """

    def __init__(self, loop: JobLoop, client: JobClient, attempts: ActiveAttempts) -> None:
        self._loop = loop
        self._client = client
        self._attempts = attempts
        self._pid = 0
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ensure_started(self) -> None:
        """Start watching in this process, once; a forked child watches for itself. Again, if something ended it."""
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
                    async with asyncio.timeout(LOOK_EVERY):
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
    return superseded or own.cancel or (parents is not None and parents.cancel)
