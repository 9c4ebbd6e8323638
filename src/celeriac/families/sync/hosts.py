"""The hosts of syncs' APIs, which may ask to be left alone for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from celeriac.core.limits import Limit
from celeriac.engine.app import JobApp
from celeriac.families.sync.definitions import Definitions
from celeriac.families.sync.http.budget import host_limit, host_of
from celeriac.families.sync.http.model import HttpSource
from celeriac.families.sync.views import HostView


class Hosts:
    """The hosts of one application's syncs."""

    def __init__(self, app: JobApp, definitions: Definitions) -> None:
        self.app = app
        self._definitions = definitions

    async def show(self, name: str) -> HostView:
        """Return for how long the host of a sync's API has asked to be left alone.

        Raises:
            UnknownSync: there is no such sync.
        """
        return await self._ask(name, self.app.limits.closed)

    async def reopen(self, name: str) -> HostView:
        """End that time, for all syncs of the host. Return how long it would have been.

        A run that waits looks again within five minutes.

        Raises:
            UnknownSync: there is no such sync.
        """
        return await self._ask(name, self.app.limits.reopen)

    async def _ask(self, name: str, ask: Callable[[Sequence[Limit]], Awaitable[dict[str, float]]]) -> HostView:
        source = self._definitions.get(name).sync.source
        if not isinstance(source, HttpSource):
            return HostView(host=None, closed_seconds=0)
        limit = host_limit(source.url)
        return HostView(host=host_of(source.url), closed_seconds=(await ask([limit])).get(limit.name, 0))
