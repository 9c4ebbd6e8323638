"""What comes of the jobs that end, gathered and written together."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar

from celeriac.store.deliveries import Ending, Place, finish, put_back
from celeriac.store.pipeline import Pipeline

log = logging.getLogger("celeriac.engine")

#: What will have come of the message whose task is being run.
current: ContextVar[Ending | None] = ContextVar("celeriac_ending", default=None)

#: Endings that are written in one step at most: the server does nothing else meanwhile.
_BATCH = 250


class Endings:
    """Writes the ends of deliveries: one batch at a time, and what ends meanwhile in the next.

    A delivery counts as held until the server has confirmed its end.
    """

    def __init__(self, pipeline: Pipeline, worker: str, result_life_ms: int, on_ended: Callable[[str], None]) -> None:
        self._pipeline = pipeline
        self._worker = worker
        self._result_life_ms = result_life_ms
        self._on_ended = on_ended
        self._waiting: deque[Ending] = deque()
        self._writing: asyncio.Task[None] | None = None

    def finish(self, ending: Ending) -> None:
        """Store what came of a message, and acknowledge it."""
        self._waiting.append(ending)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="celeriac-endings")

    def give_back(self, receipt: str, place: Place) -> None:
        """Give a message back to its queue."""
        given = self._pipeline.submit(put_back(self._worker, receipt, place))
        given.add_done_callback(lambda _: self._on_ended(receipt))

    async def written(self) -> None:
        """Wait until everything is written."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        await self._pipeline.idle()

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                await self._write(batch)
        finally:
            self._writing = None

    async def _write(self, batch: list[Ending]) -> None:
        refused = await self._pipeline.run(finish(self._worker, batch, result_life_ms=self._result_life_ms))
        for receipt in refused:
            log.warning("message %s was acknowledged too late: it had been given to another worker", receipt)
        for ending in batch:
            self._on_ended(ending.receipt)
