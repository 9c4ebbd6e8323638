"""The HTTP routes of runs, and of what was archived by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from celeriac.families.cleanup.api_callers import CLEANED, who
from celeriac.families.cleanup.api_views import RunView
from celeriac.families.cleanup.forms import RestoreForm, RunId
from celeriac.http.jobs import OwnKey, in_time, location_header
from celeriac.http.models import JobView, view
from celeriac.http.problems import responses
from celeriac.http.route import require_json

if TYPE_CHECKING:
    from celeriac.families.cleanup import CleanupFamily


def add_run_routes(router: APIRouter, family: CleanupFamily) -> None:
    """Add the run resource, and restores, to `router`."""
    app = family.host.app

    @router.get("/runs/{run_id}", response_model=RunView, summary="A run", responses=responses(404, 422, 503))
    async def show_run(run_id: Annotated[RunId, Path(description="The run's id, which is that of its job")]) -> Any:
        async with in_time(app, database=CLEANED):
            return RunView.of(await family.history.run(run_id))

    @router.post(
        "/restores",
        status_code=202,
        response_model=JobView,
        summary="Put archived rows back",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def restore(form: RestoreForm, request: Request, response: Response, key: OwnKey) -> Any:
        """Check an archive, and write its rows into their tables. The job's result counts those of each table.

        Pause the policy first: its next run archives the same rows again.
        """
        async with in_time(app, database=CLEANED):
            record = await family.submissions.put_back(form, who=who(request), key=key)
        response.headers.update(location_header(request, app, record.id))
        return view(record)
