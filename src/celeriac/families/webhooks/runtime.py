"""What the delivery jobs of one process share: connections, lanes, and transactions of many deliveries."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.engine import Database
from celeriac.families.webhooks.event_store import Stored
from celeriac.families.webhooks.gathering import Gathering
from celeriac.families.webhooks.guard import Guard
from celeriac.families.webhooks.health import Rules
from celeriac.families.webhooks.lanes import Lanes, Slots
from celeriac.families.webhooks.loaded import Loaded, changed_at, load
from celeriac.families.webhooks.recording import Result, record
from celeriac.families.webhooks.sending import Poster
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.families.webhooks.turnstile import Turnstile

log = logging.getLogger("celeriac")

_BATCH = 250
#: How long a result waits for the database before it is written again: from and to, in seconds.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


class Runtime:
    """What jobs on one event loop share. Its first use opens what it needs."""

    def __init__(
        self,
        database: Database,
        settings: WebhookSettings,
        slots: Slots,
        room: Callable[[], int],
        on_stored: Callable[[Sequence[Stored]], Awaitable[None]],
    ) -> None:
        self._database = database
        self._settings = settings
        self._on_stored = on_stored
        self._rules = Rules(
            first_delay=settings.webhook_schedule[0] if settings.webhook_schedule else 5.0,
            disable_after=settings.webhook_disable_after,
            disable_failures=settings.webhook_disable_failures,
        )
        self.guard = Guard(settings.webhook_allow)
        self.lanes = Lanes(slots, room)
        self.turnstile = Turnstile()
        self._loads: Gathering[str, Loaded | None] = Gathering(self._load, most=_BATCH, name="webhooks-load")
        self._looks: Gathering[Loaded, bool] = Gathering(self._look, most=_BATCH, name="webhooks-looks")
        self._results: Gathering[Result, None] = Gathering(self._record, most=_BATCH, name="webhooks-log")
        self._poster: Poster | None = None

    async def poster(self) -> Poster:
        """The connections of this process."""
        if self._poster is None:
            own = self._settings
            self._poster = Poster(
                self.guard,
                connect_seconds=own.webhook_connect_timeout,
                read_seconds=own.webhook_read_timeout,
                total_seconds=own.webhook_timeout,
            )
            await self._poster.__aenter__()
        return self._poster

    async def load(self, delivery_id: str) -> Loaded | None:
        """Read a delivery, together with others that are asked for at the same time.

        Raises:
            DatabaseUnavailable: it can be asked for again.
        """
        return await self._loads.ask(delivery_id)

    async def is_current(self, loaded: Loaded) -> bool:
        """Return whether the endpoint of a delivery is still there, and nobody has changed or disabled it.

        Raises:
            DatabaseUnavailable: it can be asked for again.
        """
        return await self._looks.ask(loaded)

    async def record(self, result: Result) -> None:
        """Return when the result is written. While the database is away, it waits: the request is not sent again."""
        await asyncio.shield(self._results.ask(result))

    async def close(self) -> None:
        """Wait for what is being written, and close the connections."""
        await self._results.idle()
        if self._poster is not None:
            await self._poster.__aexit__(None, None, None)
            self._poster = None

    async def _load(self, ids: Sequence[str]) -> Sequence[Loaded | None]:
        return await self._database.read(lambda connection: load(connection, ids))

    async def _look(self, loaded: Sequence[Loaded]) -> Sequence[bool]:
        known = await self._database.read(lambda c: changed_at(c, {one.endpoint.id for one in loaded}))
        return [known.get(one.endpoint.id) == one.endpoint.updated_at for one in loaded]

    async def _record(self, results: Sequence[Result]) -> Sequence[None]:
        try:
            stored = await self._write(results)
        except Exception as error:  # one of them cannot be stored: that must not keep the others from it
            log.exception("%d results of webhooks cannot be written together: %s", len(results), error)
            stored = [one for result in results for one in await self._write_alone(result)]
        try:
            await self._on_stored(stored)
        except Exception as error:  # the results are written, which is what counts here
            log.warning("%d notices of webhooks wait for the sweep: %s", len(stored), error)
        return [None] * len(results)

    async def _write_alone(self, result: Result) -> list[Stored]:
        """Write one result; without the words of the answer, if these are at fault. It must not be sent again."""
        try:
            return await self._write([result])
        except Exception:
            return await self._write([replace(result, error="not storable", headers=None, excerpt=None)])

    async def _write(self, results: Sequence[Result]) -> list[Stored]:
        pause, began = _FIRST_PAUSE_S, time.monotonic()
        while True:
            try:
                stored = await self._database.write(lambda connection: record(connection, results, self._rules))
                break
            except DatabaseUnavailable as error:
                if pause == _FIRST_PAUSE_S:
                    log.warning("%d results of webhooks wait for the database: %s", len(results), error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_S, 2 * pause)
        if pause > _FIRST_PAUSE_S:
            log.warning("%d results of webhooks were written after %.1f s", len(results), time.monotonic() - began)
        return stored


class Runtimes:
    """The runtime of each event loop of this process."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Runtime] = WeakKeyDictionary()

    def here(self) -> Runtime:
        """The runtime of the running loop."""
        loop = asyncio.get_running_loop()
        runtime = self._by_loop.get(loop)
        if runtime is None:
            runtime = self._by_loop[loop] = self._make()
        return runtime
