"""The HTTP routes of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from celeriac.families.cleanup.api_callers import CLEANED, who
from celeriac.families.cleanup.api_views import (
    AuditPage,
    AuditView,
    PolicyList,
    PolicyView,
    PolicyWithDefinition,
    ResumedPolicy,
    RunPage,
    RunView,
)
from celeriac.families.cleanup.forms import PauseForm, PolicyName, ResumeForm, RunForm, RunId
from celeriac.families.cleanup.history import Cursor
from celeriac.families.cleanup.listing import all_policies
from celeriac.http.jobs import NO_NULL, OwnKey, in_time, location_header
from celeriac.http.models import JobView, view
from celeriac.http.problems import responses
from celeriac.http.route import require_json

if TYPE_CHECKING:
    from celeriac.families.cleanup import CleanupFamily

_Name = Annotated[PolicyName, Path(description="The policy's name")]
_Limit = Annotated[int, Query(ge=1, le=200)]
_NEXT = "`next` of the previous page"


def add_policy_routes(router: APIRouter, family: CleanupFamily) -> None:
    """Add the policy resource to `router`."""
    _add_reading(router, family)
    _add_history(router, family)
    _add_running(router, family)
    _add_steering(router, family)


def _add_reading(router: APIRouter, family: CleanupFamily) -> None:
    actions, app = family.actions, family.host.app

    @router.get("/policies", response_model=PolicyList, summary="Policies")
    async def list_policies() -> Any:
        """All policies of the configuration. `unavailable` says why the state of one is not known now."""
        return PolicyList(policies=await all_policies(family))

    @router.get(
        "/policies/{name}", response_model=PolicyWithDefinition, summary="A policy", responses=responses(404, 422, 503)
    )
    async def show_policy(name: _Name) -> Any:
        policy = actions.policy(name)
        async with in_time(app, database=CLEANED):
            return PolicyWithDefinition.of(policy, await actions.show(name), definition=policy)


def _add_history(router: APIRouter, family: CleanupFamily) -> None:
    history, app = family.history, family.host.app

    @router.get(
        "/policies/{name}/runs", response_model=RunPage, summary="A policy's runs", responses=responses(404, 422, 503)
    )
    async def list_runs(
        name: _Name,
        limit: _Limit = 50,
        cursor: Annotated[Cursor | None, NO_NULL, Query(description=_NEXT)] = None,
    ) -> Any:
        async with in_time(app, database=CLEANED):
            found, following = await history.runs(name, cursor=cursor, limit=limit)
        return RunPage(runs=[RunView.of(one) for one in found], next=following)

    @router.get(
        "/policies/{name}/audit",
        response_model=AuditPage,
        summary="The audit of a policy",
        responses=responses(404, 422, 503),
    )
    async def list_audit(
        name: _Name,
        run: Annotated[RunId | None, NO_NULL, Query(description="Only chunks of this run")] = None,
        limit: _Limit = 50,
        cursor: Annotated[Cursor | None, NO_NULL, Query(description=_NEXT)] = None,
    ) -> Any:
        """What was changed, a chunk at a time, and where its rows are archived."""
        async with in_time(app, database=CLEANED):
            found, following = await history.audit(name, run, cursor=cursor, limit=limit)
        return AuditPage(chunks=[AuditView.of(one) for one in found], next=following)


def _add_running(router: APIRouter, family: CleanupFamily) -> None:
    submissions, app = family.submissions, family.host.app

    @router.post(
        "/policies/{name}/dry-run",
        status_code=202,
        response_model=JobView,
        summary="Look at what a run would do",
        responses=responses(404, 409, 422, 503),
    )
    async def dry_run(name: _Name, request: Request, response: Response, key: OwnKey) -> Any:
        """Nothing is changed. The job's result has how many rows go, some of them, the SQL, and a guess at the time."""
        async with in_time(app, database=CLEANED):
            record = await submissions.dry_run(name, key=key)
        response.headers.update(location_header(request, app, record.id))
        return view(record)

    @router.post(
        "/policies/{name}/runs",
        status_code=202,
        response_model=JobView,
        summary="Run a policy",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def run(
        name: _Name,
        request: Request,
        response: Response,
        form: Annotated[RunForm, Body(default_factory=RunForm)],
        key: OwnKey,
    ) -> Any:
        """Begin a run with the id of its job. Follow it at `/jobs/{id}/events`, cancel and retry it as any job."""
        async with in_time(app, database=CLEANED):
            record = await submissions.run(name, form, who=who(request), key=key)
        response.headers.update(location_header(request, app, record.id))
        return view(record)


def _add_steering(router: APIRouter, family: CleanupFamily) -> None:
    actions, submissions, app = family.actions, family.submissions, family.host.app

    @router.post(
        "/policies/{name}/pause",
        response_model=PolicyView,
        summary="Pause a policy",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 413, 415, 422, 503),
    )
    async def pause(name: _Name, form: Annotated[PauseForm, Body(default_factory=PauseForm)]) -> Any:
        """Nothing more is committed from now on: the chunk that is under way is taken back.

        With `force` the job is cancelled as well, even if its worker hangs.
        """
        async with in_time(app, database=CLEANED):
            return PolicyView.of(actions.policy(name), await actions.pause(name, force=form.force))

    @router.post(
        "/policies/{name}/resume",
        response_model=ResumedPolicy,
        summary="Resume a policy",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def resume(
        name: _Name, request: Request, form: Annotated[ResumeForm, Body(default_factory=ResumeForm)]
    ) -> Any:
        """Allow runs again, and go on with the one that was paused."""
        async with in_time(app, database=CLEANED):
            record = await submissions.resume(name, form, who=who(request))
            state = await actions.show(name)
        return ResumedPolicy.of(actions.policy(name), state, begun=record and record.id)
