"""The HTTP routes of mailings: submit one, show it, export the outcome of each recipient."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.routing import NoMatchFound

from celeriac.core.errors import ConfigurationError, UnknownJob
from celeriac.core.ids import is_valid_id
from celeriac.families.email.form import MailingJson, MailingText, read_submission
from celeriac.families.email.jobs import EmailJobs
from celeriac.families.email.model import progress
from celeriac.families.email.openapi import openapi_body
from celeriac.families.email.outcome_csv import outcome_csv
from celeriac.families.email.settings import EmailSettings
from celeriac.families.email.submission import submit
from celeriac.family import Host
from celeriac.http.auth import caller
from celeriac.http.jobs import IdempotencyKey, JobId, location
from celeriac.http.models import JobView, view
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import bounded_route


class MailingView(BaseModel):
    """A mailing and its progress. The state of its job is at `/jobs/{id}`."""

    id: str
    sender: str
    subject: str = Field(description="The template, not rendered")
    recipients: int
    sent: int
    failed: int
    open: int = Field(description="Recipients without a final outcome")
    stopped: str | None = Field(description="Why it stopped before its end; a retry of its job continues")


def create_email_router(host: Host, jobs: EmailJobs, **options: Any) -> APIRouter:
    """Make the mailing API, to include under a prefix such as `/email`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["email"])
    router = APIRouter(route_class=bounded_route(host.settings.max_upload_bytes), **options)
    _add_submit(router, host, jobs)
    _add_reading(router, jobs)
    return router


def _add_submit(router: APIRouter, host: Host, jobs: EmailJobs) -> None:
    app, sender = host.app, cast(EmailSettings, host.own).mail_from

    @router.post(
        "/mailings",
        status_code=202,
        response_model=JobView,
        summary="Submit a mailing",
        openapi_extra=openapi_body(MailingText, MailingJson),
        responses=responses(400, 409, 413, 415, 422, 503),
    )
    async def submit_mailing(request: Request, response: Response, idempotency_key: IdempotencyKey = None) -> Any:
        """Send one mail to each recipient, rendered from Jinja templates.

        A fault in any template, row or address is answered with 422, before any mail is sent. The response is the
        mailing's job. Follow it at `/jobs/{id}/events`.
        """
        _require_mail_server(jobs)
        key = f"{caller(request)}:{idempotency_key}" if idempotency_key is not None else None
        async with read_submission(request, sender=sender, max_json=host.settings.max_body_bytes) as submission:
            job = await submit(app.client, jobs, submission, idempotency_key=key)
        with suppress(NoMatchFound):  # an application may leave the job API out
            response.headers["Location"] = location(request, app, job.id)
        return view(job)


def _add_reading(router: APIRouter, jobs: EmailJobs) -> None:
    @router.get(
        "/mailings/{job_id}", response_model=MailingView, summary="A mailing", responses=responses(404, 422, 503)
    )
    async def show_mailing(job_id: JobId) -> Any:
        mailing = await jobs.ledger.mailing(_checked(job_id))
        counts = await jobs.ledger.counts(job_id)
        return MailingView(**progress(mailing, counts))

    @router.get(
        "/mailings/{job_id}/recipients.csv",
        summary="The outcome of each recipient",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/csv": {}}}, **responses(404, 422, 503)},
    )
    async def export_recipients(job_id: JobId) -> StreamingResponse:
        """One row per recipient: row, email, status, attempts, code, error, message_id."""
        await jobs.ledger.mailing(_checked(job_id))
        disposition = f'attachment; filename="mailing-{job_id}.csv"'
        return StreamingResponse(
            outcome_csv(jobs.ledger.outcomes(job_id)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": disposition},
        )


def _require_mail_server(jobs: EmailJobs) -> None:
    try:
        jobs.server()
    except ConfigurationError as error:
        raise ProblemError(503, "mail-not-configured", str(error)) from None


def _checked(job_id: str) -> str:
    if not is_valid_id(job_id):
        raise UnknownJob(job_id)
    return job_id
