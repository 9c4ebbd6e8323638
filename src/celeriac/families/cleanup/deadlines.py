"""How long a request may wait for the broker and for the databases that are cleaned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from celeriac.core.errors import DatabaseUnavailable
from celeriac.engine.app import JobApp
from celeriac.http.jobs import in_time


@asynccontextmanager
async def in_good_time(app: JobApp) -> AsyncGenerator[None]:
    """Bound a request as other requests are bounded for the broker: a database may take minutes to refuse.

    Raises:
        DatabaseUnavailable: a database did not answer in time.
        BrokerUnavailable: the broker did not.
    """
    seconds = app.settings.broker_timeout
    try:
        async with asyncio.timeout(seconds), in_time(app):
            yield
    except TimeoutError:
        raise DatabaseUnavailable("that is cleaned", f"it did not answer within {seconds:g} s") from None
