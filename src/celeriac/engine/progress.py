"""Publishes the progress of running jobs in the background, so that reporting never makes them wait."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Protocol

from celeriac.core.background import background
from celeriac.core.errors import BrokerUnavailable
from celeriac.core.records import Progress
from celeriac.engine import bridge
from celeriac.engine.loop import JobLoop

log = logging.getLogger("celeriac.engine")

#: How long reports are gathered. Then the newest of each job is published.
_GATHER_S = 0.1
#: How long the end of a job may wait for its last report to be published.
_LAST_REPORT_TIMEOUT_S = 2.0


class Sink(Protocol):
    """Publishes reports: the client, or in an isolated job's process the connection to its worker."""

    async def report_progress(self, job_id: str, progress: Progress) -> None:
        """Publish one report."""
        ...


class ProgressReporter:
    """Keeps the newest report of each job, and publishes it from the event loop."""

    def __init__(self, loop: JobLoop, client: Sink) -> None:
        self._loop = loop
        self._client = client
        self._lock = threading.Lock()
        self._newest: dict[str, Progress] = {}
        self._scheduled = False

    def report(self, job_id: str, progress: Progress) -> None:
        """Take a report, and return at once. Safe from any thread."""
        with self._lock:
            self._newest[job_id] = progress
            scheduled, self._scheduled = self._scheduled, True
        if not scheduled:
            self._loop.call_soon(self._schedule)

    def flush(self) -> None:
        """Publish the gathered reports, so that a job's last one comes before its end. Blocks the calling thread."""
        if not self._newest:
            return
        if bridge.can_wait():
            bridge.wait(self._publish())
            return
        try:
            self._loop.submit(self._publish()).result(_LAST_REPORT_TIMEOUT_S)
        except TimeoutError:
            log.warning("a job's last progress was not published in time")

    async def flushed(self) -> None:
        """Do what `flush` does, on the event loop."""
        if self._newest:
            await self._publish()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(_GATHER_S, lambda: background(self._publish()))

    async def _publish(self) -> None:
        with self._lock:
            reports, self._newest = self._newest, {}
            self._scheduled = False
        for job_id, progress in reports.items():
            try:
                await self._client.report_progress(job_id, progress)
            except BrokerUnavailable as error:
                log.debug("progress of %s was not published: %s", job_id, error)
