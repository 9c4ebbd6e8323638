"""Limits over the whole cluster, for whatever calls something that bears only so much."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Sequence
from types import TracebackType

from celeriac.client.connections import ConnectionsPerLoop
from celeriac.core.background import background
from celeriac.core.errors import BrokerUnavailable
from celeriac.core.ids import new_id
from celeriac.core.limits import Limit, Refused, check_closing, check_number, check_request
from celeriac.store import limits as store

logger = logging.getLogger(__name__)


class Taken:
    """What `take` has granted. As `async with taken:`, it is renewed during the block, and released at its end.

    Attributes:
        units: how many units were granted: from 1 to as many as were asked for.
        unused: how many of them are given back at the end of the `async with` block; none, unless you set it.
    """

    def __init__(
        self,
        units: int,
        limits: Sequence[Limit] = (),
        hold_seconds: float = 60,
        grant_id: str = "",
        connections: ConnectionsPerLoop | None = None,
    ) -> None:
        self.units = units
        self.unused = 0
        self._limits = limits
        self._hold_seconds = hold_seconds
        self._id = grant_id
        self._connections = connections
        self._renewing: asyncio.Task[None] | None = None

    async def release(self, unused: int = 0) -> None:
        """Give back all slots, and `unused` of the units. What has run out, or was released, cannot be given back.

        Raises:
            ValueError: `unused` is negative, or more than the units that were taken.
            BrokerUnavailable: the broker did not confirm in time. The slots are free when their time runs out.
        """
        if not 0 <= unused <= self.units:
            raise ValueError(f"release(unused={unused}): give a number from 0 to {self.units}")
        if self._connections is not None:
            await self._connections.run_together(store.release(self._id, self._limits, unused=unused))

    async def renew(self) -> bool:
        """Hold all slots for another `hold_seconds`. Return False if they had run out, and others may have them.

        Raises:
            BrokerUnavailable: the broker did not confirm in time.
        """
        if self._connections is None:
            return True
        hold_ms = round(self._hold_seconds * 1000)
        return await self._connections.run_together(store.renew(self._id, self._limits, hold_ms=hold_ms))

    async def __aenter__(self) -> Taken:
        if any(limit.concurrency for limit in self._limits):
            self._renewing = background(self._renew_again_and_again(), name="celeriac-renewing")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        with contextlib.suppress(BrokerUnavailable):  # the work is done, and the slots run out by themselves
            await self.release(self.unused)

    async def _renew_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._hold_seconds / 3)
            with contextlib.suppress(BrokerUnavailable):
                if not await self.renew():
                    names = ", ".join(limit.name for limit in self._limits)
                    logger.warning("What was taken under %s has run out: more than allowed may hold it now", names)
                    return


class Limits:
    """Takes units and slots under limits that all processes of a broker share."""

    def __init__(self, connections: ConnectionsPerLoop) -> None:
        self._connections = connections

    async def take(self, limits: Sequence[Limit], *, units: int = 1, hold_seconds: float = 60) -> Taken | Refused:
        """Take up to `units` under all of `limits` together, or nothing under any of them. This does not wait.

        Args:
            limits: the limits, each with another name. A slot of each that bounds concurrency is taken, too.
            units: how many to take at most. Rates and daily numbers count them.
            hold_seconds: after how long the slots are free again if they are neither released nor renewed, because
                their holder was killed, say.

        Raises:
            ValueError: there are no limits or too many, two have one name, or a number is out of range.
            BrokerUnavailable: the broker did not answer in time. Something may have been taken.
        """
        check_request(limits, units, hold_seconds)
        grant_id, hold_ms = new_id(), round(hold_seconds * 1000)
        granted = await self._connections.run_together(store.take(grant_id, limits, units=units, hold_ms=hold_ms))
        if isinstance(granted, Refused):
            return granted
        return Taken(granted, tuple(limits), hold_seconds, grant_id, self._connections)

    async def close(self, limits: Sequence[Limit], seconds: float) -> None:
        """Have these limits grant nothing for a while, to nobody: a service has asked for patience, say.

        What was taken before is still held. Of two such times, the later one counts.

        Raises:
            ValueError: there are no limits or too many, or `seconds` is not above 0 and at most a day.
            BrokerUnavailable: the broker did not confirm in time.
        """
        check_closing(limits, seconds)
        await self._connections.run(store.close(limits, closed_ms=math.ceil(seconds * 1000)))

    async def closed(self, limits: Sequence[Limit]) -> dict[str, float]:
        """Return for how many seconds limits still are closed, by their names. Those that are open are left out.

        Raises:
            ValueError: there are no limits or too many.
            BrokerUnavailable: the broker did not answer in time.
        """
        check_number(limits, "closed")
        return await self._connections.run(store.closed(limits, reopens=False))

    async def reopen(self, limits: Sequence[Limit]) -> dict[str, float]:
        """Have limits grant again that `close` has closed. Return what `closed` would have said before.

        Raises:
            ValueError: there are no limits or too many.
            BrokerUnavailable: the broker did not confirm in time.
        """
        check_number(limits, "reopen")
        return await self._connections.run(store.closed(limits, reopens=True))


class NoLimits(Limits):
    """Grants everything, for jobs that run in their caller's process, without a broker."""

    def __init__(self) -> None:
        """Connect to nothing."""

    async def take(self, limits: Sequence[Limit], *, units: int = 1, hold_seconds: float = 60) -> Taken | Refused:
        check_request(limits, units, hold_seconds)
        return Taken(units)

    async def close(self, limits: Sequence[Limit], seconds: float) -> None:
        check_closing(limits, seconds)

    async def closed(self, limits: Sequence[Limit]) -> dict[str, float]:
        check_number(limits, "closed")
        return {}

    async def reopen(self, limits: Sequence[Limit]) -> dict[str, float]:
        check_number(limits, "reopen")
        return {}
