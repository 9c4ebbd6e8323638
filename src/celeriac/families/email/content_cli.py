"""`celeriac email preview` and `test`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.core.errors import CommandLineWrong
from celeriac.core.faults import message
from celeriac.families.email import EmailFamily
from celeriac.families.email.content_options import Content, with_content
from celeriac.terminal import App, AsJson, print_json, run_in_family

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.families.email.form import MailingText
    from celeriac.families.email.submission import Submission

Row = Annotated[int | None, typer.Option(min=1, help="The row, as in a spreadsheet; the default is the first.")]


class Shown(StrEnum):
    """The part of a mail that `preview` prints."""

    TEXT = "text"
    HTML = "html"


@asynccontextmanager
async def submission_from(
    fields: Mapping[str, Any], recipients: Path, family: EmailFamily, model: type[MailingText] | None = None
) -> AsyncGenerator[Submission]:
    """Read a mailing to the recipients in a file, which stays open inside the block.

    Raises:
        CommandLineWrong: names what to change.
    """
    from fastapi.exceptions import RequestValidationError

    from celeriac.families.email.form import MailingText, csv_submission

    with recipients.open("rb") as file:
        try:
            submission = await csv_submission(dict(fields), file, family.settings.mail_from, model or MailingText)
        except RequestValidationError as error:
            raise CommandLineWrong(
                "; ".join(f"{fault['loc'][-1]}: {message(fault)}" for fault in error.errors())
            ) from None
        yield submission


@with_content
def preview_mail(
    content: Content,
    row: Row = None,
    show: Annotated[Shown, typer.Option(help="The part to print.")] = Shown.TEXT,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Print the mail that a row would get. Nothing is stored or sent. Warnings go to stderr."""
    fields = content.fields()

    async def act(_: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.preview import preview
        from celeriac.families.email.preview_forms import PreviewText

        async with submission_from({**fields, "row": row}, content.recipients, family, PreviewText) as submission:
            made = await preview(family.jobs, family.stationery, submission)
        return {
            "row": made.recipient.row,
            "to": made.recipient.address,
            "subject": made.rendered.subject,
            "text": made.rendered.text,
            "html": made.rendered.html,
            "headers": dict(made.headers),
            "size": made.size,
            "warnings": list(made.warnings),
            "unused": list(made.unused),
        }

    made = run_in_family(app, EmailFamily, act)
    if as_json:
        print_json(made)
        return
    for warning in made["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"To: {made['to']}\nSubject: {made['subject']}\n")
    typer.echo((made[show] or "").rstrip("\n"))


@with_content
def send_test(
    content: Content,
    to: Annotated[str, typer.Option(help="The address that gets the mail.")],
    row: Row = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the mail server has taken it.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Send the mail that a row would get to another address, as a test, and print its job's id."""
    fields = content.fields()

    async def act(application: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.address import parse_address
        from celeriac.families.email.preview import preview, test_call
        from celeriac.families.email.preview_forms import TestText

        family.jobs.server()  # raises if a setting is missing
        try:
            address = parse_address(to.strip())
        except ValueError as error:
            raise CommandLineWrong(f"--to: {error}") from None
        async with submission_from(
            {**fields, "row": row, "to": to}, content.recipients, family, TestText
        ) as submission:
            made = await preview(family.jobs, family.stationery, submission, test_to=address)
        job = await application.client.submit(test_call(family.test, made))
        if not wait:
            return {"id": job.id}
        return {"id": job.id, **await application.client.result(job.id)}

    told = run_in_family(app, EmailFamily, act)
    if as_json:
        print_json(told)
    else:
        typer.echo(told["id"])
