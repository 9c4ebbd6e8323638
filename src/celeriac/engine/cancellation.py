"""Hears which jobs are to be cancelled, and stops those that run in this process."""

from __future__ import annotations

import asyncio
import logging
import os

from celeriac.client.client import JobClient
from celeriac.core.errors import BrokerUnavailable
from celeriac.engine.loop import JobLoop
from celeriac.engine.runs import ActiveRuns

log = logging.getLogger("celeriac.engine")


class CancellationWatch:
    """Listens on the broker, and looks at the records once a second: pub/sub alone may miss a message."""

    def __init__(self, loop: JobLoop, client: JobClient, runs: ActiveRuns) -> None:
        self._loop = loop
        self._client = client
        self._runs = runs
        self._pid = 0
        self._task: asyncio.Task[None] | None = None

    def ensure_started(self) -> None:
        """Start watching in this process, once; a forked child watches for itself."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="celeriac-cancellations")

    async def _watch(self) -> None:
        async with self._client.cancellations(self._heard):
            while True:
                await asyncio.sleep(self._runs.LOOK_EVERY)
                await self._look()

    def _heard(self, payload: bytes | None) -> None:
        if payload is not None:
            self._runs.cancel(payload.decode())

    async def _look(self) -> None:
        running = self._runs.ids()
        if not running:
            return
        try:
            asked = await self._client.cancel_requested(running)
        except BrokerUnavailable as error:
            log.debug("could not look for cancellations: %s", error)
            return
        for job_id in asked:
            self._runs.cancel(job_id)
