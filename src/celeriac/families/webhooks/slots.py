"""Takes the slots of endpoints from the cluster's limits, so that all workers together keep to them."""

from __future__ import annotations

import contextlib
import time

from celeriac.client.limits import Taken
from celeriac.core.errors import BrokerUnavailable
from celeriac.core.limits import Limit, Refused
from celeriac.engine.app import JobApp
from celeriac.families.webhooks.lanes import NoSlot, Slot

#: How long a slot is held by a worker that was killed, at the most.
_HOLD_S = 120.0
#: For how long it may be handed from delivery to delivery. What begins then has the rest of its hold to end in.
_FRESH_S = 20.0


class ClusterSlots:
    """The slots of all endpoints. `longest_s` is how long one request may take."""

    def __init__(self, app: JobApp, longest_s: float) -> None:
        self._app = app
        self._hold_s = max(_HOLD_S, _FRESH_S + 2 * longest_s)

    async def take(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> Slot | NoSlot:
        """Take one of so many slots of an endpoint."""
        limit = Limit(f"webhooks:{endpoint_id}", rate=rate, concurrency=concurrency)
        taken = await self._app.limits.take([limit], hold_seconds=self._hold_s)
        return NoSlot(taken.seconds) if isinstance(taken, Refused) else _ClusterSlot(taken)


class _ClusterSlot:
    """A slot of the cluster."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._fresh_until = time.monotonic() + _FRESH_S

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self._fresh_until

    async def release(self) -> None:
        with contextlib.suppress(BrokerUnavailable):  # then it runs out by itself
            await self._taken.release()
