"""Asks for all jobs that begin at the same moment together whether they may run."""

from __future__ import annotations

import asyncio

from redis.exceptions import ResponseError

from celeriac.store.beginnings import Beginning, Permit, begin
from celeriac.store.pipeline import Pipeline

#: Jobs that are asked for in one step at most: the server does nothing else meanwhile.
_BATCH = 250
_Asking = tuple[Beginning, "asyncio.Future[Permit]"]


class Beginnings:
    """Gathers what is asked in one turn of the event loop, and sends it as one call."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._asking: list[_Asking] = []

    def ask(self, beginning: Beginning) -> asyncio.Future[Permit]:
        """Whether the job may run; however long the broker is absent.

        Raises:
            redis.exceptions.ResponseError: what the server has of the job is no record.
            redis.exceptions.DataError: what is asked cannot be sent.
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
        if error is not None and len(batch) > 1:  # one of them is at fault: it fails alone
            for asking in batch:
                self._ask_for([asking])
            return
        permits = [error] if error is not None else reply.result()
        for (_, future), permit in zip(batch, permits, strict=True):
            if future.done():  # its task was stopped meanwhile
                continue
            if isinstance(permit, BaseException):
                future.set_exception(permit)
            else:
                future.set_result(permit)
