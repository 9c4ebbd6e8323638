"""The HTTP routes of runs, and of what was archived by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path

from celeriac.families.cleanup.api_views import RunView
from celeriac.families.cleanup.deadlines import in_good_time
from celeriac.families.cleanup.forms import RunId
from celeriac.http.problems import responses

if TYPE_CHECKING:
    from celeriac.families.cleanup import CleanupFamily


def add_run_routes(router: APIRouter, family: CleanupFamily) -> None:
    """Add the run resource to `router`."""

    @router.get("/runs/{run_id}", response_model=RunView, summary="A run", responses=responses(404, 422, 503))
    async def show_run(run_id: Annotated[RunId, Path(description="The run's id, which is that of its job")]) -> Any:
        async with in_good_time(family.host.app):
            return RunView.of(await family.history.run(run_id))
