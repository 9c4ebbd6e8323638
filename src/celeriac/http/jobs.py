"""The job resource: submit, list, look, result, cancel, retry."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response

from celeriac.client.client import EnqueueOptions
from celeriac.core.errors import JobCancelled, JobFailed, UnknownTask
from celeriac.core.records import JobRecord
from celeriac.core.spec import Call, JobSpec
from celeriac.core.states import JobState
from celeriac.engine.app import JobApp
from celeriac.http.auth import caller
from celeriac.http.models import JobPage, JobView, ResultView, view
from celeriac.http.problems import ProblemError, responses

F = TypeVar("F", bound=Callable[..., Any])

JobId = Annotated[str, Path(description="The job's id")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=255,
        min_length=1,
        description="The same key with the same request yields the same job, for 24 hours "
        "(draft-ietf-httpapi-idempotency-key-header)",
    ),
]

_CURSOR = re.compile(r"\d{1,16}_[A-Za-z0-9_.:\-]{1,128}\Z")
#: What a user's task may be called in a path.
_TASK = re.compile(r"[A-Za-z0-9_.\-]{1,200}\Z")


def add_job_routes(router: APIRouter, app: JobApp) -> None:
    """Add the job resource to `router`."""
    for spec in app.specs.values():
        if _TASK.match(spec.name):
            _add_submit(router, app, spec)
    _add_submit_of_unknown(router)
    _add_reading(router, app)
    _add_steering(router, app)


def _add_submit(router: APIRouter, app: JobApp, spec: JobSpec) -> None:
    """One route for each job, so that OpenAPI shows each job's own arguments."""

    async def submit(
        request: Request, response: Response, arguments: Any, idempotency_key: IdempotencyKey = None
    ) -> Any:
        call = Call[Any](spec, spec.encode_validated(arguments))
        key = f"{caller(request)}:{idempotency_key}" if idempotency_key is not None else None
        job_id = await app.client.enqueue(call, EnqueueOptions(idempotency_key=key))
        response.headers["Location"] = location(request, job_id)
        return view(await app.client.get(job_id))

    optional = all(name.default is not name.empty for name in spec.signature.parameters.values())
    body = Body(default_factory=dict) if optional else Body()
    submit.__annotations__["arguments"] = Annotated[spec.shape, body]
    router.add_api_route(
        f"/{spec.name}",
        submit,
        methods=["POST"],
        status_code=202,
        response_model=JobView,
        name=f"submit {spec.name}",
        summary=f"Submit {spec.name}",
        description=spec.function.__doc__ or "",
        responses=responses(409, 413, 422, 503),
    )


def _add_submit_of_unknown(router: APIRouter) -> None:
    @router.post("/{task}", include_in_schema=False)
    async def submit_unknown(task: str) -> None:
        raise UnknownTask(task[:200])


def _add_reading(router: APIRouter, app: JobApp) -> None:
    @router.get("", response_model=JobPage, summary="List jobs", responses=responses(422, 503))
    async def list_jobs(
        state: Annotated[JobState | None, Query()] = None,
        task: Annotated[str | None, Query(max_length=200)] = None,
        queue: Annotated[str | None, Query(max_length=200)] = None,
        parent: Annotated[str | None, Query(max_length=128, description="Children of this job")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=150, description="`next` of the page before")] = None,
    ) -> Any:
        if cursor is not None and not _CURSOR.match(cursor):
            raise ProblemError(422, "invalid-request", "cursor: give `next` of the page before, unchanged")

        def matches(record: JobRecord) -> bool:
            return (
                (state is None or record.state is state)
                and (task is None or record.task == task)
                and (queue is None or record.queue == queue)
                and (parent is None or record.parent_id == parent)
            )

        records, following = await app.client.page(cursor=cursor, limit=limit, matches=matches)
        return JobPage(jobs=[view(record) for record in records], next=following)

    @router.get("/{job_id}", response_model=JobView, name="job", summary="A job's state", responses=responses(404, 503))
    async def show(job_id: JobId) -> Any:
        return view(await app.client.get(job_id))

    @router.get(
        "/{job_id}/result", response_model=ResultView, summary="A job's result", responses=responses(404, 409, 503)
    )
    async def result(job_id: JobId) -> Any:
        try:
            value = await app.client.outcome(job_id)
        except JobFailed as error:
            raise ProblemError(409, "job-failed", str(error)) from None
        except JobCancelled as error:
            raise ProblemError(409, "job-cancelled", str(error)) from None
        return ResultView(id=job_id, task=(await app.client.get(job_id)).task, result=value)


def _add_steering(router: APIRouter, app: JobApp) -> None:
    @router.post("/{job_id}/cancel", response_model=JobView, summary="Cancel a job", responses=responses(404, 409, 503))
    async def cancel(job_id: JobId, response: Response) -> Any:
        """At once if no worker runs it (200), else its worker is asked to (202)."""
        record = await app.client.cancel(job_id)
        response.status_code = 200 if record.state.finished else 202
        return view(record)

    @router.post(
        "/{job_id}/retry",
        status_code=202,
        response_model=JobView,
        summary="Run a failed, dead or cancelled job again",
        responses=responses(404, 409, 503),
    )
    async def retry(job_id: JobId, request: Request, response: Response) -> Any:
        """The same id and arguments; attempts are counted anew."""
        record = await app.client.retry(job_id)
        response.headers["Location"] = location(request, job_id)
        return view(record)


def location(request: Request, job_id: str) -> str:
    """The path of a job, wherever the router was mounted."""
    return request.url_for("job", job_id=job_id).path
