"""The checks of syncs in `celeriac doctor`: whether the connections that they write to answer."""

from __future__ import annotations

from celeriac.core.findings import Finding
from celeriac.database.checks import check_connections as check_urls
from celeriac.families.sync.settings import SyncSettings


async def check_connections(own: SyncSettings) -> list[Finding]:
    """Report for each named connection whether it answers. Create nothing in it."""
    return await check_urls(own.sync_connections, family="sync", setting="CELERIAC_SYNC_CONNECTIONS")
