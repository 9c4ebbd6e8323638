"""`celeriac email preview` and `test`, and the options by which commands get the content of a mailing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.core.errors import CommandLineWrong
from celeriac.core.faults import message
from celeriac.families.email import EmailFamily
from celeriac.terminal import App, AsJson, print_json, run_in_family

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.families.email.form import MailingText
    from celeriac.families.email.submission import Submission

RecipientsFile = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV file with a header and a column `email`."),
]
Subject = Annotated[str, typer.Option(help="A Jinja template; the CSV's columns are its variables.")]
TextFile = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with the plain text.")]
HtmlFile = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with the HTML.")]
MjmlFile = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with MJML, instead of HTML.")]
FromAddress = Annotated[str | None, typer.Option(help="`address` or `Name <address>`; else CELERIAC_MAIL_FROM.")]
Unsubscribe = Annotated[str | None, typer.Option(help="The List-Unsubscribe header (RFC 2369).")]
Attach = Annotated[list[str] | None, typer.Option(help="JOB/NAME: a file that a job has made; repeatable.")]
Image = Annotated[
    list[str] | None, typer.Option(help="NAME=JOB/FILE: a file that the HTML shows as cid:NAME; repeatable.")
]
InlineCss = Annotated[bool, typer.Option(help="Write the CSS of <style> into style attributes, too.")]
DuplicateRows = Annotated[
    str, typer.Option(help="Rows with the address of an earlier row: `refuse`, or send the `first`, or `all`.")
]
Row = Annotated[int | None, typer.Option(min=1, help="The row, as in a spreadsheet; the default is the first.")]


class Shown(StrEnum):
    """The part of a mail that `preview` prints."""

    TEXT = "text"
    HTML = "html"


def content_fields(
    *,
    subject: str,
    text: Path | None,
    html: Path | None,
    mjml: Path | None,
    sender: str | None,
    unsubscribe: str | None,
    attach: Sequence[str] | None,
    image: Sequence[str] | None,
    inline_css: bool,
    duplicates: str,
) -> dict[str, Any]:
    """Return the fields of a mailing from the options of a command.

    Raises:
        CommandLineWrong: an option is missing, or a file is not UTF-8.
    """
    if text is None and html is None and mjml is None:
        raise CommandLineWrong("there is no text for the mails: give --text FILE, --html FILE or --mjml FILE")
    images = {name: file for name, _, file in (one.partition("=") for one in image or ())}
    fields = {
        "subject": subject,
        "text": text and _content(text, "--text"),
        "html": html and _content(html, "--html"),
        "mjml": mjml and _content(mjml, "--mjml"),
        "inline_css": inline_css,
        "sender": sender,
        "list_unsubscribe": unsubscribe,
        "attachments": [_file(one) for one in attach or ()],
        "inline_images": {name: _file(one) for name, one in images.items()},
        "duplicates": duplicates,
    }
    return {name: value for name, value in fields.items() if value is not None}


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


def preview_mail(
    recipients: RecipientsFile,
    subject: Subject,
    text: TextFile = None,
    html: HtmlFile = None,
    mjml: MjmlFile = None,
    row: Row = None,
    show: Annotated[Shown, typer.Option(help="The part to print.")] = Shown.TEXT,
    sender: FromAddress = None,
    unsubscribe: Unsubscribe = None,
    attach: Attach = None,
    image: Image = None,
    inline_css: InlineCss = True,
    duplicates: DuplicateRows = "refuse",
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Print the mail that a row would get. Nothing is stored or sent. Warnings go to stderr."""
    fields = content_fields(
        subject=subject, text=text, html=html, mjml=mjml, sender=sender, unsubscribe=unsubscribe, attach=attach,
        image=image, inline_css=inline_css, duplicates=duplicates,
    )  # fmt: skip

    async def act(_: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.preview import preview
        from celeriac.families.email.preview_forms import PreviewText

        async with submission_from({**fields, "row": row}, recipients, family, PreviewText) as submission:
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


def send_test(
    recipients: RecipientsFile,
    subject: Subject,
    to: Annotated[str, typer.Option(help="The address that gets the mail.")],
    text: TextFile = None,
    html: HtmlFile = None,
    mjml: MjmlFile = None,
    row: Row = None,
    sender: FromAddress = None,
    unsubscribe: Unsubscribe = None,
    attach: Attach = None,
    image: Image = None,
    inline_css: InlineCss = True,
    duplicates: DuplicateRows = "refuse",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the mail server has taken it.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Send the mail that a row would get to another address, as a test, and print its job's id."""
    fields = content_fields(
        subject=subject, text=text, html=html, mjml=mjml, sender=sender, unsubscribe=unsubscribe, attach=attach,
        image=image, inline_css=inline_css, duplicates=duplicates,
    )  # fmt: skip

    async def act(application: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.address import parse_address
        from celeriac.families.email.preview import preview, test_call
        from celeriac.families.email.preview_forms import TestText

        family.jobs.server()  # raises if a setting is missing
        try:
            address = parse_address(to.strip())
        except ValueError as error:
            raise CommandLineWrong(f"--to: {error}") from None
        async with submission_from({**fields, "row": row, "to": to}, recipients, family, TestText) as submission:
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


def _file(text: str) -> dict[str, str]:
    return dict(zip(("job", "name"), text.split("/", 1), strict=False))


def _content(file: Path, option: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandLineWrong(f"{option} {file}: is not UTF-8") from None
