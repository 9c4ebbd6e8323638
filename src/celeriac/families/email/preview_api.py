"""The HTTP routes for looking at a mailing before it is sent: a preview, a test mail, and the variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from celeriac.core.errors import ConfigurationError
from celeriac.families.email.address import parse_address
from celeriac.families.email.composition import templates_of
from celeriac.families.email.content import Texts
from celeriac.families.email.form import read_submission
from celeriac.families.email.openapi import openapi_body
from celeriac.families.email.preview import preview, test_call
from celeriac.families.email.preview_forms import PreviewJson, PreviewText, TestJson, TestText
from celeriac.families.email.templates import MAX_SOURCE, Variable
from celeriac.families.email.utf8_form import invalid_field
from celeriac.http.jobs import location_header
from celeriac.http.models import JobView, view
from celeriac.http.problems import ProblemError, responses

if TYPE_CHECKING:
    from celeriac.families.email import EmailFamily


class UseView(BaseModel):
    """A place where a template uses a variable."""

    template: str = Field(description="subject, text, html or mjml")
    line: int


class VariableView(BaseModel):
    """A variable that the templates use."""

    name: str
    required: bool = Field(description="Whether each recipient must have it: it has no default, and no test for it")
    uses: list[UseView] = Field(description="The first use in each template")


class HeaderView(BaseModel):
    """A header of the message."""

    name: str
    value: str


class PreviewView(BaseModel):
    """The mail of one row."""

    row: int
    to: str
    subject: str
    text: str | None
    html: str | None
    headers: list[HeaderView]
    size: int = Field(description="Bytes of the message, with its files")
    warnings: list[str] = Field(description="What does not keep it from being sent")
    variables: list[VariableView]
    unused: list[str] = Field(description="Columns that no template uses")


class VariablesText(BaseModel):
    """Templates, and the columns to compare their variables with."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(default="", max_length=MAX_SOURCE)
    text: str | None = Field(default=None, max_length=MAX_SOURCE)
    html: str | None = Field(default=None, max_length=MAX_SOURCE)
    mjml: str | None = Field(default=None, max_length=MAX_SOURCE)
    columns: list[str] = Field(default_factory=list[str], max_length=100)


class VariablesView(BaseModel):
    """The variables of templates."""

    variables: list[VariableView]
    missing: list[str] = Field(description="Required variables that have no column")
    unused: list[str] = Field(description="Columns that no template uses")


def add_preview_routes(router: APIRouter, family: EmailFamily) -> None:
    """Add the routes to the router of bulk mail."""
    _add_preview(router, family)
    _add_test(router, family)
    _add_variables(router, family)


def _add_preview(router: APIRouter, family: EmailFamily) -> None:
    @router.post(
        "/preview",
        response_model=PreviewView,
        summary="Preview a mail",
        openapi_extra=openapi_body(PreviewText, PreviewJson),
        responses=responses(400, 413, 415, 422, 503),
    )
    async def preview_mail(request: Request) -> Any:
        """Show the mail that a row would get. Send what you would send to `/mailings`. Nothing is stored or sent."""
        async with read_submission(
            request,
            sender=family.settings.mail_from,
            max_json=family.host.settings.max_body_bytes,
            models=(PreviewText, PreviewJson),
        ) as submission:
            made = await preview(family.jobs, family.stationery, submission)
        return PreviewView(
            row=made.recipient.row,
            to=made.recipient.address,
            subject=made.rendered.subject,
            text=made.rendered.text,
            html=made.rendered.html,
            headers=[HeaderView(name=name, value=value) for name, value in made.headers],
            size=made.size,
            warnings=list(made.warnings),
            variables=[_variable(variable) for variable in made.variables.values()],
            unused=list(made.unused),
        )


def _add_test(router: APIRouter, family: EmailFamily) -> None:
    @router.post(
        "/test",
        status_code=202,
        response_model=JobView,
        summary="Send a test mail",
        openapi_extra=openapi_body(TestText, TestJson),
        responses=responses(400, 413, 415, 422, 503),
    )
    async def send_test(request: Request, response: Response) -> Any:
        """Send the mail that a row would get to the address `to`, through the mail server. Its subject begins with
        [Test]. No mailing, ledger or limit counts it. The response is the job that sends it."""
        try:
            family.jobs.server()
        except ConfigurationError as error:
            raise ProblemError(503, "mail-not-configured", str(error)) from None
        async with read_submission(
            request,
            sender=family.settings.mail_from,
            max_json=family.host.settings.max_body_bytes,
            models=(TestText, TestJson),
        ) as submission:
            try:
                to = parse_address((submission.to or "").strip())
            except ValueError as error:
                raise invalid_field("to", str(error)) from None
            made = await preview(family.jobs, family.stationery, submission, test_to=to)
        job = await family.host.app.client.submit(test_call(family.test, made))
        response.headers.update(location_header(request, family.host.app, job.id))
        return view(job)


def _add_variables(router: APIRouter, family: EmailFamily) -> None:
    @router.post(
        "/variables",
        response_model=VariablesView,
        summary="The variables of templates",
        responses=responses(400, 413, 422),
    )
    async def show_variables(body: VariablesText) -> Any:
        """List the variables that the templates use, and compare them with the columns of a list."""
        texts = Texts(subject=body.subject, text=body.text, html=body.html, mjml=body.mjml)
        variables = (await templates_of(texts)).variables()
        columns = {*body.columns, "email", *family.jobs.supplied}
        required = {name for name, variable in variables.items() if variable.required}
        return VariablesView(
            variables=[_variable(variable) for variable in variables.values()],
            missing=sorted(required - columns),
            unused=sorted(set(body.columns) - variables.keys() - {"email"}),
        )


def _variable(variable: Variable) -> VariableView:
    uses = [UseView(template=template, line=line) for template, line in variable.uses]
    return VariableView(name=variable.name, required=variable.required, uses=uses)
