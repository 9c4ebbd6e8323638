"""The HTTP routes of jobs: submit, list, show, result, cancel, retry."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from starlette.routing import NoMatchFound

from celeriac.client.options import EnqueueOptions
from celeriac.core import codec
from celeriac.core.errors import JobCancelled, JobFailed, UnknownTask
from celeriac.core.records import JobRecord
from celeriac.core.spec import Call, JobSpec
from celeriac.core.states import JobState
from celeriac.database.patience import answering
from celeriac.engine.app import JobApp
from celeriac.http.auth import caller
from celeriac.http.models import JobPage, JobView, ResultView, view
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import require_json
from celeriac.store.redis.connection import deadline


class NotDescribed:
    """A marker that removes null from an optional parameter's schema. A query or header cannot contain null."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, describe: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = describe(schema)
        (said,) = [option for option in described.pop("anyOf") if option.get("type") != "null"]
        return {**said, **described}


NO_NULL = NotDescribed()

JobId = Annotated[str, Path(description="The job's id")]
_IdempotencyKey = Annotated[
    str | None,
    NO_NULL,
    Header(
        max_length=255,
        min_length=1,
        description="The same key with the same request yields the same job, for 24 hours "
        "(draft-ietf-httpapi-idempotency-key-header)",
    ),
]


async def _own_key(request: Request, idempotency_key: _IdempotencyKey = None) -> str | None:
    """Return an idempotency key as one that only this caller can give, whatever the names of others are."""
    name = caller(request).replace("%", "%25").replace(":", "%3A")
    return f"{name}:{idempotency_key}" if idempotency_key is not None else None


#: The caller's own idempotency key, for `EnqueueOptions`; None without the header.
OwnKey = Annotated[str | None, Depends(_own_key)]

#: The time of a job in milliseconds, and its id.
Cursor = Annotated[str, StringConstraints(max_length=150, pattern="^[0-9]{1,16}_[A-Za-z0-9_.:-]{1,128}$")]
#: The task names that a path can contain.
_TASK = re.compile(r"[A-Za-z0-9_.\-]{1,200}\Z")


def add_job_routes(router: APIRouter, app: JobApp) -> None:
    """Add the job resource to `router`."""
    for spec in app.specs.values():
        if spec.options.exposed and _TASK.match(spec.name):
            _add_submit(router, app, spec)
    _add_reading(router, app)
    _add_steering(router, app)
    _add_submit_of_unknown(router)  # last, so that 405 names the methods of a job's resource


def in_time(app: JobApp, *, database: str | None = None) -> AbstractAsyncContextManager[None]:
    """Set one deadline for all broker calls of a request. Raise `BrokerUnavailable` when it has passed.

    A request that asks a `database` of the user's own as well names it, for `DatabaseUnavailable`. It has more time
    than each call to the broker has for itself, so the error says who did not answer.
    """
    seconds = app.settings.broker_timeout
    return deadline(seconds) if database is None else answering(database, 1.2 * seconds)


def location(request: Request, app: JobApp, job_id: str) -> str:
    """Return the path of a job of `app`, under the prefixes where its router and application are mounted."""
    path = request.app.url_path_for(_route_name(app), job_id=job_id)
    return encoded(request.scope.get("root_path", "").rstrip("/") + path)


def location_header(request: Request, app: JobApp, job_id: str) -> dict[str, str]:
    """Return the header that names a job; none if the application leaves the job API out."""
    try:
        return {"Location": location(request, app, job_id)}
    except NoMatchFound:
        return {}


def encoded(url: str) -> str:
    """Return a URL or a path with what it cannot contain percent-encoded. Starlette leaves that to its callers."""
    return quote(url, safe="/:@!$&'()*+,;=%-._~[]")


def _route_name(app: JobApp) -> str:
    """Name `GET /{job_id}` so that several applications in one API do not clash."""
    return f"job of {app.main}"  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)


def _add_submit(router: APIRouter, app: JobApp, spec: JobSpec) -> None:
    """Add one route for each job, so that OpenAPI shows the job's own arguments."""

    async def submit(request: Request, response: Response, arguments: Any, key: OwnKey) -> Any:
        call = Call[Any](spec, spec.encode_validated(arguments))
        async with in_time(app):
            record = await app.client.submit(call, EnqueueOptions(idempotency_key=key))
        response.headers["Location"] = location(request, app, record.id)
        return view(record)

    optional = all(name.default is not name.empty for name in spec.signature.parameters.values())
    body = Body(default_factory=dict) if optional else Body()
    submit.__annotations__["arguments"] = Annotated[spec.sent_shape, body]
    router.add_api_route(
        f"/{spec.name}",
        submit,
        methods=["POST"],
        status_code=202,
        response_model=JobView,
        name=f"submit {spec.name}",
        summary=f"Submit {spec.name}",
        description=spec.function.__doc__ or "",
        dependencies=[Depends(require_json)],
        responses=responses(400, 409, 413, 415, 422, 503),
    )


def _add_submit_of_unknown(router: APIRouter) -> None:
    @router.post("/{task}", include_in_schema=False)
    async def submit_unknown(task: str) -> None:
        raise UnknownTask(task[:200])


def _add_reading(router: APIRouter, app: JobApp) -> None:
    @router.get("", response_model=JobPage, summary="List jobs", responses=responses(422, 503))
    async def list_jobs(
        state: Annotated[JobState | None, NO_NULL, Query()] = None,
        task: Annotated[str | None, NO_NULL, Query(max_length=200)] = None,
        queue: Annotated[str | None, NO_NULL, Query(max_length=200)] = None,
        parent: Annotated[str | None, NO_NULL, Query(max_length=128, description="Children of this job")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[Cursor | None, NO_NULL, Query(description="`next` of the previous page")] = None,
    ) -> Any:
        def matches(record: JobRecord) -> bool:
            return (
                (state is None or record.state is state)
                and (task is None or record.task == task)
                and (queue is None or record.queue == queue)
                and (parent is None or record.parent_id == parent)
            )

        records, following = await app.client.page(cursor=cursor, limit=limit, matches=matches)
        return JobPage(jobs=[view(record) for record in records], next=following)

    @router.get(
        "/{job_id}",
        response_model=JobView,
        name=_route_name(app),
        summary="A job's state",
        responses=responses(404, 422, 503),
    )
    async def show(job_id: JobId) -> Any:
        return view(await app.client.get(job_id))

    @router.get(
        "/{job_id}/result", response_model=ResultView, summary="A job's result", responses=responses(404, 409, 422, 503)
    )
    async def result(job_id: JobId) -> Any:
        try:
            async with in_time(app):
                returned = await app.client.outcome(job_id)
        except JobFailed as error:
            raise ProblemError(409, "job-failed", str(error)) from None
        except JobCancelled as error:
            raise ProblemError(409, "job-cancelled", str(error)) from None
        # Encode it here: FastAPI would write NaN as null, and fail on lone surrogates, which JSON can escape.
        encoded = codec.dumps({"id": job_id, "result": returned})
        if faults := codec.number_faults(returned, encoded):
            told = [{"loc": ["result", *path], "msg": reason, "type": "json"} for path, reason in faults]
            detail = f"the result cannot be shown as JSON: {faults[0]}"
            raise ProblemError(422, "result-not-json", detail, errors=told)
        return Response(encoded, media_type="application/json")


def _add_steering(router: APIRouter, app: JobApp) -> None:
    @router.post(
        "/{job_id}/cancel",
        response_model=JobView,
        summary="Cancel a job",
        response_description="The job is cancelled",
        responses={
            202: {"model": JobView, "description": "The job's worker has been asked to stop it"},
            **responses(404, 409, 422, 503),
        },
    )
    async def cancel(job_id: JobId, response: Response) -> Any:
        async with in_time(app):
            record = await app.client.cancel(job_id)
        response.status_code = 200 if record.state.finished else 202
        return view(record)

    @router.post(
        "/{job_id}/retry",
        status_code=202,
        response_model=JobView,
        summary="Run a failed, dead or cancelled job again",
        responses=responses(404, 409, 422, 503),
    )
    async def retry(job_id: JobId, request: Request, response: Response) -> Any:
        """Run the job again with the same id and arguments. Attempts count from 1 again."""
        async with in_time(app):
            record = await app.client.retry(job_id)
        response.headers["Location"] = location(request, app, job_id)
        return view(record)
