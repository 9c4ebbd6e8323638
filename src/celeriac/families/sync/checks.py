"""The checks of syncs in `celeriac doctor`: whether the connections that they write to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import SecretStr

from celeriac.core.errors import CeleriacError
from celeriac.core.findings import Finding, fail, ok
from celeriac.database.engine import Database
from celeriac.families.sync.settings import SyncSettings

_PATIENCE_S = 5.0


async def check_connections(own: SyncSettings) -> list[Finding]:
    """Report for each named connection whether it answers. Create nothing in it."""
    urls: Mapping[str, SecretStr] = own.sync_connections
    return await asyncio.gather(*(_check(name, url) for name, url in sorted(urls.items())))


async def _check(name: str, url: SecretStr) -> Finding:
    title = f"sync: {name}"
    advice = "correct CELERIAC_SYNC_CONNECTIONS, or see to it that the database answers"
    try:
        database = Database(url.get_secret_value(), is_ours=False)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await database.look(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())
        finally:
            await database.dispose()
    except TimeoutError:
        return fail(title, f"no answer within {_PATIENCE_S:g} s", advice)
    except CeleriacError as error:
        return fail(title, str(error), advice)
    return ok(title, "answers")
