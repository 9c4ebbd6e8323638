"""The HTTP routes of mailings: submit one, show it, export the outcome of each recipient."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from celeriac.core.errors import ConfigurationError, UnknownJob
from celeriac.core.ids import is_valid_id
from celeriac.families.email.form import MailingJson, MailingText, read_submission
from celeriac.families.email.jobs import EmailJobs
from celeriac.families.email.model import progress
from celeriac.families.email.openapi import openapi_body
from celeriac.families.email.outcome_csv import outcome_csv
from celeriac.families.email.settings import EmailSettings
from celeriac.families.email.steering import Steering, described
from celeriac.families.email.submission import submit, submit_draft
from celeriac.families.email.views import MailingsView, MailingView
from celeriac.family import Host
from celeriac.http.jobs import NO_NULL, JobId, OwnKey, location_header
from celeriac.http.models import JobView, view
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import bounded_route

_Cursor = Annotated[str, StringConstraints(max_length=144, pattern="^[0-9]{1,15}_[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]


def create_email_router(host: Host, jobs: EmailJobs, **options: Any) -> APIRouter:
    """Make the mailing API, to include under a prefix such as `/email`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["email"])
    router = APIRouter(route_class=bounded_route(host.settings.max_upload_bytes), **options)
    _add_submit(router, host, jobs)
    steering = Steering(host.app.client, jobs)
    _add_steering(router, jobs, steering)
    _add_reading(router, jobs, steering)
    return router


def _add_submit(router: APIRouter, host: Host, jobs: EmailJobs) -> None:
    app, sender = host.app, cast(EmailSettings, host.own).mail_from

    @router.post(
        "/mailings",
        status_code=202,
        response_model=JobView | MailingView,
        summary="Submit a mailing",
        openapi_extra=openapi_body(MailingText, MailingJson),
        responses={201: {"model": MailingView}, **responses(400, 409, 413, 415, 422, 503)},
    )
    async def submit_mailing(request: Request, response: Response, key: OwnKey) -> Any:
        """Send one mail to each recipient, rendered from Jinja templates.

        A fault in any template, row or address is answered with 422, before any mail is sent. The response is the
        mailing's job. Follow it at `/jobs/{id}/events`. With `draft`, nothing is sent, and the response is the mailing.
        """
        _require_mail_server(jobs)
        async with read_submission(request, sender=sender, max_json=host.settings.max_body_bytes) as submission:
            if submission.draft:
                draft = await submit_draft(jobs, submission, idempotency_key=key)
                response.status_code = 201
                response.headers["Location"] = str(request.url_for("show_mailing", job_id=draft.id).path)
                return MailingView(**progress(draft, await jobs.ledger.counts(draft.id)))
            job = await submit(app.client, jobs, submission, idempotency_key=key)
        response.headers.update(location_header(request, app, job.id))
        return view(job)


def _add_steering(router: APIRouter, jobs: EmailJobs, steering: Steering) -> None:
    def add(action: str, summary: str, act: Callable[[str], Awaitable[None]], description: str) -> None:
        async def steer(job_id: JobId) -> Any:
            await act(_checked(job_id))
            return (await described(jobs.ledger, steering, [await jobs.ledger.mailing(job_id)]))[0]

        router.post(
            f"/mailings/{{job_id}}/{action}",
            response_model=MailingView,
            summary=summary,
            description=description,
            name=f"{action}_mailing",
            operation_id=f"{action}_mailing",
            responses=responses(404, 409, 422, 503),
        )(steer)

    add("send", "Start a draft", steering.start, "It starts at its `send_at`, if it has one, else at once.")
    add(
        "pause",
        "Pause a mailing",
        steering.pause,
        "Nothing is sent before it is resumed. A mail on its way is finished.",
    )
    add(
        "resume",
        "Resume a mailing",
        steering.resume,
        "Go on with a mailing that was paused or has stopped. Nobody who has got the mail gets it again.",
    )
    add("cancel", "Cancel a mailing", steering.cancel, "Nothing is sent any more. A mail on its way is finished.")


def _add_reading(router: APIRouter, jobs: EmailJobs, steering: Steering) -> None:
    @router.get("/mailings", response_model=MailingsView, summary="List mailings", responses=responses(422, 503))
    async def list_mailings(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[_Cursor | None, NO_NULL, Query(description="`next` of the page before")] = None,
    ) -> Any:
        """The newest first."""
        mailings = await jobs.ledger.newest(limit + 1, None if cursor is None else _split(cursor))
        more = len(mailings) > limit
        mailings = mailings[:limit]
        following = f"{mailings[-1].created_at}_{mailings[-1].id}" if more else None
        return {"mailings": await described(jobs.ledger, steering, mailings), "next": following}

    @router.get(
        "/mailings/{job_id}", response_model=MailingView, summary="A mailing", responses=responses(404, 422, 503)
    )
    async def show_mailing(job_id: JobId) -> Any:
        return (await described(jobs.ledger, steering, [await jobs.ledger.mailing(_checked(job_id))]))[0]

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


def _split(cursor: str) -> tuple[int, str]:
    created, _, mailing_id = cursor.partition("_")
    return int(created), mailing_id
