"""Takes the slots of endpoints from the cluster's limits, so that all workers together keep to them."""

from __future__ import annotations

import time

from celeriac.client.limits import Taken
from celeriac.core.limits import Limit, Refused
from celeriac.engine.app import JobApp
from celeriac.families.webhooks.lanes import NoSlot, Slot

#: How long the slots of a worker that was killed are not free. A living worker renews them.
_HOLD_S = 15.0
#: For how long a slot may be handed from delivery to delivery, before others get a chance.
_FRESH_S = 2.0


class ClusterSlots:
    """The slots of all endpoints."""

    def __init__(self, app: JobApp) -> None:
        self._app = app

    async def take(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> Slot | NoSlot:
        """Take one of so many slots of an endpoint."""
        limit = Limit(f"webhooks:{endpoint_id}", rate=rate, concurrency=concurrency)
        taken = await self._app.limits.take([limit], hold_seconds=_HOLD_S)
        if isinstance(taken, Refused):
            return NoSlot(taken.seconds)
        return _ClusterSlot(await taken.__aenter__())


class _ClusterSlot:
    """A slot of the cluster."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._fresh_until = time.monotonic() + _FRESH_S

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self._fresh_until

    async def release(self) -> None:
        await self._taken.__aexit__(None, None, None)
