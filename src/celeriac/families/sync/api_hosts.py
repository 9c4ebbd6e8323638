"""The HTTP routes of the hosts that syncs read: whether one has asked to be left alone."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from celeriac.families.sync.api_syncs import Name
from celeriac.families.sync.hosts import Hosts
from celeriac.families.sync.views import HostView
from celeriac.http.jobs import in_time
from celeriac.http.problems import responses


def add_host_routes(router: APIRouter, hosts: Hosts) -> None:
    """Add the hosts to `router`."""

    @router.get(
        "/syncs/{name}/host", response_model=HostView, summary="The host of a sync", responses=responses(404, 422, 503)
    )
    async def show_host(name: Name) -> Any:
        """For how long the API has asked to be left alone (`Retry-After`). No sync of its host asks it meanwhile."""
        async with in_time(hosts.app):
            return await hosts.show(name)

    @router.post(
        "/syncs/{name}/host/reopen",
        response_model=HostView,
        summary="Ask the host again at once",
        responses=responses(404, 422, 503),
    )
    async def reopen_host(name: Name) -> Any:
        """End that time, for all syncs of the host. A run that waits goes on within five minutes.

        The response says how long it would have been.
        """
        async with in_time(hosts.app):
            return await hosts.reopen(name)
