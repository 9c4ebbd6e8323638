"""Asks the broker, in one call for all jobs that begin at the same time, for permits to run."""

from __future__ import annotations

import asyncio

from celeriac.store.jobs.beginnings import Beginning, Permit, begin
from celeriac.store.redis.errors import ResponseError
from celeriac.store.redis.pipeline import Pipeline

#: The most jobs in one script call, during which the server can do nothing else.
_BATCH = 250
_Asking = tuple[Beginning, "asyncio.Future[Permit]"]


class Beginnings:
    """Gathers the requests for permits of one turn of the event loop, and sends them as one call."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._asking: list[_Asking] = []

    def ask(self, beginning: Beginning) -> asyncio.Future[Permit]:
        """Ask for the job's permit to run, for as long as the broker is absent.

        Raises:
            redis.exceptions.ResponseError: the key of the job's record holds something else.
            redis.exceptions.DataError: a field of `beginning` cannot be sent to Redis.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Permit] = loop.create_future()
        if not self._asking:
            loop.call_soon(self._send)
        self._asking.append((beginning, future))
        return future

    def _send(self) -> None:
        asking, self._asking = self._asking, []
        for start in range(0, len(asking), _BATCH):
            self._ask_for(asking[start : start + _BATCH])

    def _ask_for(self, batch: list[_Asking]) -> None:
        reply = self._pipeline.submit(begin([beginning for beginning, _ in batch]))
        reply.add_done_callback(lambda reply: self._settle(batch, reply))

    def _settle(self, batch: list[_Asking], reply: asyncio.Future[list[Permit | ResponseError]]) -> None:
        error = reply.exception()
        if error is not None and len(batch) > 1:  # one job is at fault: ask for each alone, so that only it fails
            for asking in batch:
                self._ask_for([asking])
            return
        permits = [error] if error is not None else reply.result()
        for (_, future), permit in zip(batch, permits, strict=True):
            if future.done():  # the task was stopped while it waited
                continue
            if isinstance(permit, BaseException):
                future.set_exception(permit)
            else:
                future.set_result(permit)
