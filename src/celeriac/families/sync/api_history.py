"""The HTTP routes of runs and of rejected records."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import StringConstraints

from celeriac.families.sync.api_syncs import Name, database_of
from celeriac.families.sync.forms import RunId, StreamName
from celeriac.families.sync.looks import Looks
from celeriac.families.sync.views import RejectPage, RejectView, RunPage, RunView
from celeriac.http.jobs import NO_NULL, Cursor, in_time
from celeriac.http.problems import responses

_Number = Annotated[str, StringConstraints(pattern="^[0-9]{1,18}$")]
_Limit = Annotated[int, Query(ge=1, le=200)]


def add_history_routes(router: APIRouter, looks: Looks) -> None:
    """Add the runs to `router`."""

    @router.get("/syncs/{name}/runs", response_model=RunPage, summary="Runs", responses=responses(404, 422, 503))
    async def list_runs(
        name: Name,
        limit: _Limit = 50,
        cursor: Annotated[Cursor | None, NO_NULL, Query(description="`next` of the previous page")] = None,
    ) -> Any:
        """The runs of a sync, the newest first. They are kept for `CELERIAC_SYNC_RETENTION` seconds."""
        began, _, run = (cursor or "").partition("_")
        async with in_time(looks.app, database=database_of(name)):
            found, following = await looks.runs(name, after=(int(began), run) if began else None, limit=limit)
        return RunPage(runs=[RunView.of(one) for one in found], next=following and f"{following[0]}_{following[1]}")

    @router.get("/runs/{run_id}", response_model=RunView, summary="A run", responses=responses(404, 422, 503))
    async def show_run(run_id: Annotated[RunId, Path(description="The run's id, which is its job's")]) -> Any:
        """A run, once its job has begun."""
        async with in_time(looks.app, database="of some sync"):
            return RunView.of(await looks.run_of(run_id))

    @router.get(
        "/syncs/{name}/rejects",
        response_model=RejectPage,
        summary="Rejected records",
        responses=responses(404, 422, 503),
    )
    async def list_rejects(
        name: Name,
        run: Annotated[RunId | None, NO_NULL, Query(description="Those of this run")] = None,
        stream: Annotated[StreamName | None, NO_NULL, Query(description="Those of this stream")] = None,
        limit: _Limit = 50,
        cursor: Annotated[_Number | None, NO_NULL, Query(description="`next` of the previous page")] = None,
    ) -> Any:
        """Records that were not written, with the reason of each."""
        after = int(cursor) if cursor is not None else None
        async with in_time(looks.app, database=database_of(name)):
            found, following = await looks.rejects(name, stream=stream, run=run, after=after, limit=limit)
        return RejectPage(
            rejects=[RejectView.of(one) for one in found], next=str(following) if following is not None else None
        )
