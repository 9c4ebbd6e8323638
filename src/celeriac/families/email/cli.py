"""`celeriac email`: sends and shows mailings without the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from celeriac.core.errors import UnknownJob
from celeriac.families.email import EmailFamily
from celeriac.families.email.check_cli import check_domain
from celeriac.families.email.content_cli import preview_mail, send_test, submission_from
from celeriac.families.email.content_options import Content, with_content
from celeriac.families.email.model import Mailing, RecipientOutcome, Status
from celeriac.families.email.suppression_cli import suppressions
from celeriac.terminal import App, AsJson, Column, print_json, print_table, run_in_family

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp

T = TypeVar("T")

email = typer.Typer(name="email", help="Send mailings, and show the outcome of each recipient.", no_args_is_help=True)

email.add_typer(suppressions)
email.command("preview")(preview_mail)
email.command("test")(send_test)
email.command("check")(check_domain)

MailingId = Annotated[str, typer.Argument(help="The mailing's id, which is also its job's id.")]

_COLUMNS = ("row", "email", "status", "attempts", "code", "error")
_COLOURS = {"sent": "green", "failed": "red"}


class _Shown(StrEnum):
    """The status of the recipients that the command `recipients` shows."""

    FAILED = "failed"
    SENT = "sent"
    PENDING = "pending"
    SENDING = "sending"
    ALL = "all"


@email.command()
@with_content
def send(
    content: Content,
    draft: Annotated[bool, typer.Option("--draft", help="Send nothing before `celeriac email start ID`.")] = False,
    at: Annotated[str | None, typer.Option(help="When it starts (ISO 8601 with a zone); else at once.")] = None,
    not_after: Annotated[str | None, typer.Option(help="Send nothing from then on (ISO 8601 with a zone).")] = None,
    stop_hard: Annotated[
        float | None, typer.Option(metavar="PERCENT", help="Stop when more recipients than that do not exist.")
    ] = None,
    stop_soft: Annotated[
        float | None, typer.Option(metavar="PERCENT", help="Stop when more recipients than that fail otherwise.")
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Recipients with an outcome before these rates count.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: with it, nothing is sent twice.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and print the outcome.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Send a mailing to the recipients in a CSV file, and print its id. A fault in the input prevents all mails."""
    fields = content.fields()
    own_limits = {"hard": stop_hard, "soft": stop_soft, "floor": stop_after}
    limits = {name: value for name, value in own_limits.items() if value is not None}
    planned = {"draft": draft or None, "send_at": at, "not_after": not_after, "stop_at": limits or None}
    fields |= {name: value for name, value in planned.items() if value is not None}

    async def act(application: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.submission import submit, submit_draft

        family.jobs.server()  # raises if a setting is missing, before anything is stored
        async with submission_from(fields, content.recipients, family) as submission:
            idempotency_key = f"cli:{key}" if key else None
            if draft:
                return {"id": (await submit_draft(family.jobs, submission, idempotency_key=idempotency_key)).id}
            job = await submit(application.client, family.jobs, submission, idempotency_key=idempotency_key)
        if not wait:
            return {"id": job.id}
        typer.echo(job.id, err=True)
        return {"id": job.id, **await application.client.result(job.id)}

    _show(_run(app, act), as_json, only="id")


@email.command("list")
def list_mailings(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List mailings and their progress, the newest first."""

    async def act(application: JobApp, family: EmailFamily) -> list[dict[str, Any]]:
        return await _described(application, family, await family.jobs.ledger.newest(limit))

    found = _run(app, act)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("no mailings")
    else:
        numbers = ("recipients", "sent", "failed", "open")
        columns = [
            Column(name="id"),
            Column(name="state"),
            *(Column(name=name, right=True) for name in numbers),
            Column(name="subject", shortest=12),
        ]
        print_table(columns, [[str(row[column.name] or "") for column in columns] for row in found])


@email.command()
def show(mailing_id: MailingId, app: App = None, as_json: AsJson = False) -> None:
    """Show how many recipients of a mailing were sent to, have failed, and are open."""

    async def act(application: JobApp, family: EmailFamily) -> dict[str, Any]:
        return (await _described(application, family, [await _mailing(family, mailing_id)]))[0]

    _show(_run(app, act), as_json)


@email.command()
def start(mailing_id: MailingId, app: App = None, as_json: AsJson = False) -> None:
    """Start a draft, at its time if it has one."""
    _steer(mailing_id, "start", app, as_json)


@email.command()
def pause(mailing_id: MailingId, app: App = None, as_json: AsJson = False) -> None:
    """Send nothing of a mailing until it is resumed. Mails being sent are finished."""
    _steer(mailing_id, "pause", app, as_json)


@email.command()
def resume(mailing_id: MailingId, app: App = None, as_json: AsJson = False) -> None:
    """Go on with a mailing that was paused or has stopped. Nobody gets a mail again."""
    _steer(mailing_id, "resume", app, as_json)


@email.command()
def cancel(mailing_id: MailingId, app: App = None, as_json: AsJson = False) -> None:
    """Send nothing more of a mailing, for good. Mails being sent are finished."""
    _steer(mailing_id, "cancel", app, as_json)


def _steer(mailing_id: str, action: str, app: str | None, as_json: bool) -> None:
    async def act(application: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.steering import Steering

        await _mailing(family, mailing_id)
        await getattr(Steering(application.client, family.jobs), action)(mailing_id)
        return (await _described(application, family, [await _mailing(family, mailing_id)]))[0]

    _show(_run(app, act), as_json)


@email.command()
def recipients(
    mailing_id: MailingId,
    status: Annotated[_Shown, typer.Option(help="Only recipients with this status.")] = _Shown.FAILED,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, in the order of the file.")] = 1000,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List the failed recipients of a mailing, or those of another status, with the mail server's replies."""

    async def act(_: JobApp, family: EmailFamily) -> list[dict[str, Any]]:
        ledger = family.jobs.ledger
        await _mailing(family, mailing_id)
        wanted = None if status is _Shown.ALL else Status(status.value)
        found: list[dict[str, Any]] = []
        async with aclosing(ledger.outcomes(mailing_id, wanted)) as outcomes:
            async for outcome in outcomes:
                if len(found) == limit:
                    typer.echo(f"only the first {limit:,} are shown: --limit shows more", err=True)
                    break
                found.append(_outcome(outcome))
        return found

    found = _run(app, act)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("no recipients" if status is _Shown.ALL else f"no {status} recipients; --status all shows all")
    else:
        columns = [
            *(Column(name="row", right=True), Column(name="email"), Column(name="status", colour=_COLOURS.get)),
            *(Column(name="attempts", right=True), Column(name="code"), Column(name="error", shortest=20)),
        ]
        print_table(columns, [["" if cell is None else str(cell) for cell in row.values()] for row in found])


def _run(app: str | None, action: Callable[[JobApp, EmailFamily], Awaitable[T]]) -> T:
    return run_in_family(app, EmailFamily, action)


async def _mailing(family: EmailFamily, mailing_id: str) -> Mailing:
    try:
        return await family.jobs.ledger.mailing(mailing_id)
    except UnknownJob:
        raise _UnknownMailing(mailing_id) from None


class _UnknownMailing(UnknownJob):
    def __str__(self) -> str:
        return f"no mailing with id {self.job_id[:64]!r} is known"


async def _described(application: JobApp, family: EmailFamily, mailings: list[Mailing]) -> list[dict[str, Any]]:
    from celeriac.families.email.steering import Steering, described

    return await described(family.jobs.ledger, Steering(application.client, family.jobs), mailings)


def _outcome(line: RecipientOutcome) -> dict[str, Any]:
    cells = (line.position, line.address, line.status, line.attempts, line.code, line.error)
    return dict(zip(_COLUMNS, cells, strict=True))


def _show(facts: dict[str, Any], as_json: bool, *, only: str | None = None) -> None:
    """Print facts as a table or JSON. If `only` names the single fact, print just its value."""
    if as_json:
        print_json(facts)
    elif only is not None and set(facts) == {only}:
        typer.echo(facts[only])
    else:
        print_table(
            [Column(name="what"), Column(name="value")],
            [[name, str(value)] for name, value in facts.items() if value is not None],
        )
