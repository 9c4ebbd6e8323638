"""The HTTP routes of reports: ask for one, show it, list the sources, look at its first page."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from celeriac.client.options import EnqueueOptions
from celeriac.core.errors import UnknownArtifact, UnknownJob
from celeriac.core.ids import is_valid_id
from celeriac.core.records import JobRecord
from celeriac.core.states import JobState
from celeriac.families.reports.checking import check_request
from celeriac.families.reports.jobs import MakeJob
from celeriac.families.reports.make import PREVIEW
from celeriac.families.reports.outcome import ReportOutcome
from celeriac.families.reports.passwords import sealed
from celeriac.families.reports.request import ReportRequest
from celeriac.families.reports.sources.named import NamedSource, Sources
from celeriac.family import Host
from celeriac.http.artifacts import send_artifact
from celeriac.http.auth import caller
from celeriac.http.jobs import JobId, OwnKey, in_time
from celeriac.http.models import JobView, view
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import bounded_route, require_json


class SourceView(BaseModel):
    """A source that reports may name."""

    name: str
    kind: str = Field(description="`query` or `function`")
    about: str
    parameters: dict[str, Any] = Field(description="A JSON Schema of the parameters")


class SourceList(BaseModel):
    """The sources that reports may name, by name."""

    sources: list[SourceView]


class ReportView(BaseModel):
    """A report. Its files are the artifacts of its job, `/jobs/{id}/artifacts`."""

    job: JobView
    outcome: ReportOutcome | None = Field(description="What came of it, once it has succeeded")


def create_reports_router(host: Host, job: MakeJob, sources: Sources, **options: Any) -> APIRouter:
    """Make the report API, to include under a prefix such as `/reports`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["reports"])
    router = APIRouter(route_class=bounded_route(host.settings.max_body_bytes), **options)
    _add_submit(router, host, job, sources)
    _add_sources(router, sources)
    _add_reading(router, host, job.name)
    return router


def _add_submit(router: APIRouter, host: Host, job: MakeJob, sources: Sources) -> None:
    app = host.app

    @router.post(
        "",
        status_code=202,
        response_model=JobView,
        summary="Make a report",
        dependencies=[Depends(require_json)],
        responses=responses(400, 409, 413, 415, 422, 503),
    )
    async def make_report(request: Request, response: Response, asked: ReportRequest, key: OwnKey) -> Any:
        """Read the rows of a source, and make a file of each format. The response is the report's job.

        Follow it at `/jobs/{id}/events`, cancel and retry it as any job. The files are its artifacts.
        """
        await check_request(app, sources, host.own, asked, owner=caller(request))
        asked = await sealed(asked, app.storage)
        async with in_time(app):
            record = await app.client.submit(job.call(asked), EnqueueOptions(idempotency_key=key))
        response.headers["Location"] = f"{request.url.path.rstrip('/')}/{record.id}"
        return view(record)


def _add_sources(router: APIRouter, sources: Sources) -> None:
    @router.get("/sources", response_model=SourceList, summary="The sources that reports may name")
    async def list_sources() -> Any:
        return SourceList(sources=[source_view(source) for source in sources])


def _add_reading(router: APIRouter, host: Host, task: str) -> None:
    app = host.app

    @router.get("/{job_id}", response_model=ReportView, summary="A report", responses=responses(404, 422, 503))
    async def show_report(job_id: JobId) -> Any:
        async with in_time(app):
            record = await _report(host, task, job_id)
            outcome = None
            if record.state is JobState.SUCCEEDED:
                try:
                    outcome = ReportOutcome.model_validate(await app.client.outcome(job_id))
                except UnknownJob:  # the result has expired, and the record is about to
                    outcome = None
        return ReportView(job=view(record), outcome=outcome)

    @router.get(
        "/{job_id}/preview",
        summary="A picture of a report's first page",
        response_class=StreamingResponse,
        responses={200: {"content": {"image/png": {}}}, **responses(404, 409, 412, 416, 422, 503)},
    )
    async def preview_report(job_id: JobId, request: Request) -> Response:
        """A report has one if it was asked for with `preview`, and has been made."""
        record = await _report(host, task, job_id)
        if not record.state.finished:
            raise ProblemError(
                409, "report-not-made", f"the report is {record.state}; its preview comes with its files"
            )
        try:
            return await send_artifact(app, request, job_id, PREVIEW)
        except UnknownArtifact:
            raise ProblemError(404, "no-preview", "the report has no preview; ask for it with `preview`") from None


async def _report(host: Host, task: str, job_id: str) -> JobRecord:
    record = await host.app.client.get(job_id) if is_valid_id(job_id) else None
    if record is None or record.task != task:
        raise UnknownJob(job_id)
    return record


def source_view(source: NamedSource) -> SourceView:
    """Return what callers may know of a source."""
    schema = source.parameters.model_json_schema()
    return SourceView(name=source.name, kind=source.kind, about=source.about, parameters=schema)
