"""Ends runs whose jobs do not go on: they may have waited, and kept the locks of their policies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from celeriac.database.named import NamedDatabases
from celeriac.database.patience import answering
from celeriac.families.cleanup import locks, records
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.views import has_tables

log = logging.getLogger("celeriac")

_PATIENCE_S = 10.0


async def settle(
    databases: NamedDatabases, names: Iterable[str], job_id: str, state: RunState, error: str | None = None
) -> None:
    """Give back the locks of a job in the databases of these names, and record how its run has ended.

    One that does not answer holds nobody up: that is logged, and the lock there ends by itself.
    """

    def end(connection: Connection) -> None:
        locks.LEASES.free(connection, job_id)
        records.end_lost_run(connection, job_id, state, error)

    async def end_in(name: str) -> None:
        try:
            async with answering(name, _PATIENCE_S):
                database = databases.get(name)
                if await database.look(has_tables):
                    await database.write(end)
        except Exception as why:
            log.warning("whether run %s has a lock in %s is not known: %s", job_id, name, why)

    await asyncio.gather(*map(end_in, names))
