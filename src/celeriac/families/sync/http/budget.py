"""The budget of requests of one host. All processes share it, so that all wait when the host asks for patience."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, nullcontext

from yarl import URL

from celeriac.client.limits import Limits, Taken
from celeriac.core.errors import RunLater
from celeriac.core.limits import LONGEST_NAME, Limit, Refused
from celeriac.families.sync.http.model import Rate

#: Waits of up to so many seconds hold the job's slot. A longer one gives it back.
PATIENCE_S = 20.0
#: A longer time is waited for in pieces of this, so that a host that is opened again is asked soon.
LOOK_AGAIN_S = 300.0
#: A host without a budget still has a limit, so that it can be closed. This rate is never in the way.
_NO_RATE = 100_000.0
#: Units are fetched for so many seconds at once, and at most so many: else each request would ask the broker.
_AHEAD_S, _MOST_AHEAD = 0.25, 100
_NO_SLOT = nullcontext()


def host_limit(url: str) -> Limit:
    """Return what is closed while the host of an API has asked to be left alone."""
    return Limit(_name(host_of(url)), rate=_NO_RATE)


def _name(host: str) -> str:
    return f"sync:host:{host}"[:LONGEST_NAME]


def host_of(url: str) -> str:
    """Return the host and the port of a URL."""
    base = URL(url)
    return f"{base.host}:{base.port}"


class Budget:
    """Hands out the right to send a request to the host of a URL."""

    def __init__(self, limits: Limits, base: URL, rate: Rate | None, patience_s: float = PATIENCE_S) -> None:
        self._limits = limits
        self._patience_s = patience_s
        per_second = _NO_RATE if rate is None else rate.requests / rate.seconds
        self._concurrency = None if rate is None else rate.concurrency
        burst = None if rate is None else max(1, min(rate.requests, int(per_second) or 1))
        self._limit = Limit(_name(host_of(str(base))), rate=per_second, burst=burst, concurrency=self._concurrency)
        self._ahead = 1 if self._concurrency else max(1, min(_MOST_AHEAD, int(per_second * _AHEAD_S)))
        self._units = 0
        self._valid_until = 0.0

    async def turn(self) -> AbstractAsyncContextManager[object]:
        """Wait for the turn of one request. What this returns holds its slot, as `async with`.

        Raises:
            RunLater: its turn comes later than a job should wait for it.
            BrokerUnavailable: the broker does not answer.
        """
        if self._concurrency is not None:
            return await self._take(1)
        await self._take_unit()
        return _NO_SLOT

    async def close(self, seconds: float) -> None:
        """Send nothing for a while, from no process, and wait here if it is short.

        Raises:
            RunLater: it is long. The job gives its slot back.
        """
        self._units = 0
        if seconds <= 0:
            return
        await self._limits.close([self._limit], seconds)
        if seconds > self._patience_s:
            raise RunLater(min(seconds, LOOK_AGAIN_S), f"the API asks to be left alone for {seconds:,.0f} s")

    async def _take_unit(self) -> None:
        if self._units <= 0 or time.monotonic() > self._valid_until:
            self._units = (await self._take(self._ahead)).units
            self._valid_until = time.monotonic() + 2 * _AHEAD_S
        self._units -= 1

    async def _take(self, units: int) -> Taken:
        waited_until = time.monotonic() + self._patience_s
        while True:
            taken = await self._limits.take([self._limit], units=units)
            if not isinstance(taken, Refused):
                return taken
            if time.monotonic() + taken.seconds > waited_until:
                raise RunLater(
                    min(taken.seconds, LOOK_AGAIN_S),
                    f"{self._limit.name} takes no request for {taken.seconds:,.0f} s: "
                    "the budget of requests is used up, or the API has asked to be left alone",
                )
            await asyncio.sleep(taken.seconds)
