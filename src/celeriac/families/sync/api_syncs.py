"""The HTTP routes of syncs themselves: show them, run them, reset them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Request, Response

from celeriac.families.sync.actions import Actions
from celeriac.families.sync.errors import SyncBusy
from celeriac.families.sync.forms import RunForm, StreamsForm, SyncName
from celeriac.families.sync.looks import Looks
from celeriac.families.sync.views import (
    ResetView,
    RunView,
    StateView,
    StreamStateView,
    SyncList,
    SyncView,
    SyncWithRuns,
)
from celeriac.http.jobs import OwnKey, in_time, location_header
from celeriac.http.models import JobView, view
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import require_json

Name = Annotated[SyncName, Path(description="The sync's name")]


def database_of(name: str) -> str:
    """Name the database of a sync, for messages."""
    return f"of the sync {name!r}"


def add_sync_routes(router: APIRouter, looks: Looks, actions: Actions) -> None:
    """Add the syncs to `router`."""
    _add_reading(router, looks)
    _add_running(router, actions)
    _add_steering(router, actions)


def _add_reading(router: APIRouter, looks: Looks) -> None:
    @router.get("/syncs", response_model=SyncList, summary="Syncs")
    async def list_syncs() -> Any:
        """The syncs of the application. They come from its configuration: files of `CELERIAC_SYNC_FOLDER`, or code."""
        return SyncList(syncs=[SyncView.of(one, looks.schedules(one.sync.name)) for one in looks.all()])

    @router.get("/syncs/{name}", response_model=SyncWithRuns, summary="A sync", responses=responses(404, 422, 503))
    async def show_sync(name: Name) -> Any:
        async with in_time(looks.app, database=database_of(name)):
            found = await looks.overview(name)
        last = RunView.of(found.last_run) if found.last_run is not None else None
        return SyncWithRuns.of(found.definition, found.schedules, last_run=last, running=found.running)

    @router.get(
        "/syncs/{name}/state", response_model=StateView, summary="How far a sync is", responses=responses(404, 422, 503)
    )
    async def show_state(name: Name) -> Any:
        """How far each stream is. One that was never read is not among them."""
        async with in_time(looks.app, database=database_of(name)):
            state = await looks.state(name)
        return StateView(streams=[StreamStateView.of(stream, one) for stream, one in state.items()])


def _add_running(router: APIRouter, actions: Actions) -> None:
    @router.post(
        "/syncs/{name}/runs",
        status_code=202,
        response_model=JobView,
        summary="Run a sync",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def run_sync(
        name: Name,
        request: Request,
        response: Response,
        form: Annotated[RunForm, Body(default_factory=RunForm)],
        key: OwnKey,
    ) -> Any:
        """Read what is new at the source into the destination. The response is the job; `/runs/{id}` has the run.

        While another job runs the sync, the answer is 409, and `Location` is that job.
        """
        with _naming_the_job(request, actions):
            async with in_time(actions.app, database=database_of(name)):
                job = await actions.run(name, form, key=key)
        response.headers.update(location_header(request, actions.app, job.id))
        return view(job)

    @router.post(
        "/syncs/{name}/dry-run",
        status_code=202,
        response_model=JobView,
        summary="Look at the first page",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def dry_run_sync(
        name: Name,
        request: Request,
        response: Response,
        form: Annotated[StreamsForm, Body(default_factory=StreamsForm)],
        key: OwnKey,
    ) -> Any:
        """Ask the source for the first page of each stream, and write nothing. The response is the job.

        Its result has records, those that would be rejected, and the columns that the table has or would get.
        """
        async with in_time(actions.app, database=database_of(name)):
            job = await actions.dry_run(name, form, key=key)
        response.headers.update(location_header(request, actions.app, job.id))
        return view(job)


def _add_steering(router: APIRouter, actions: Actions) -> None:
    @router.post(
        "/syncs/{name}/reset",
        response_model=ResetView,
        summary="Have streams read from the beginning",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def reset_sync(
        name: Name, request: Request, form: Annotated[StreamsForm, Body(default_factory=StreamsForm)]
    ) -> Any:
        """Forget how far streams are, with their rejected records. Rows stay: the next run replaces them."""
        with _naming_the_job(request, actions):
            async with in_time(actions.app, database=database_of(name)):
                return ResetView(streams=await actions.reset(name, form))


@contextmanager
def _naming_the_job(request: Request, actions: Actions) -> Generator[None]:
    """Answer 409 with the location of the job that runs the sync."""
    try:
        yield
    except SyncBusy as busy:
        raise ProblemError(
            409, "sync-busy", str(busy), headers=location_header(request, actions.app, busy.job)
        ) from None
