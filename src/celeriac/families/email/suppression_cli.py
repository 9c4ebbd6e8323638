"""`celeriac email suppressions`: the addresses that get no more mail."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeriac.core.errors import CommandLineWrong
from celeriac.families.email import EmailFamily
from celeriac.terminal import App, AsJson, Column, print_json, print_table, run_in_family

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.families.email.suppression import Suppression

suppressions = typer.Typer(
    name="suppressions",
    help="Addresses that get no more mail: list, add, remove, import, export.",
    no_args_is_help=True,
)

Address = Annotated[str, typer.Argument(help="A mail address.")]
ListName = Annotated[str | None, typer.Option("--list", help="The list; without it: all mail.")]
_COLUMNS = ("email", "list", "reason", "source", "created_at")


@suppressions.command("list")
def list_suppressions(
    list_name: Annotated[str | None, typer.Option("--list", help="Only those of this list.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, in alphabetical order.")] = 1000,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List addresses that get no more mail."""

    async def act(_: JobApp, family: EmailFamily) -> list[dict[str, Any]]:
        page = await family.suppressions.page(size=limit, list_name=list_name)
        return [_facts(one) for one in page]

    found = run_in_family(app, EmailFamily, act)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("no suppressed addresses")
    else:
        columns = [Column(name=name, dispensable=int(name == "created_at")) for name in _COLUMNS]
        print_table(columns, [[str(row[name] or "") for name in _COLUMNS] for row in found])


@suppressions.command()
def add(address: Address, list_name: ListName = None, app: App = None, as_json: AsJson = False) -> None:
    """Suppress an address: it gets no more mail of the list, or none at all."""

    async def act(_: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.suppression import Reason, Suppression

        entry = Suppression(_parsed(address), _checked(list_name), Reason.MANUAL, "command line")
        return {"email": entry.address, "list": entry.list_name, "new": await family.suppressions.add(entry)}

    _tell(run_in_family(app, EmailFamily, act), as_json, "suppressed", "was suppressed already")


@suppressions.command()
def remove(address: Address, list_name: ListName = None, app: App = None, as_json: AsJson = False) -> None:
    """Let an address get mail again."""

    async def act(_: JobApp, family: EmailFamily) -> dict[str, Any]:
        removed = await family.suppressions.remove(address, _checked(list_name))
        return {"email": address, "list": list_name or "", "new": removed}

    _tell(run_in_family(app, EmailFamily, act), as_json, "gets mail again", "was not suppressed")


@suppressions.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV in UTF-8, with a column `email`.")],
    list_name: Annotated[str | None, typer.Option("--list", help="The list of rows that name none.")] = None,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Suppress the addresses in a CSV file. A fault in any row prevents all."""

    async def act(_: JobApp, family: EmailFamily) -> dict[str, Any]:
        from celeriac.families.email.suppression_csv import check_suppressions, read_suppressions

        name = _checked(list_name)
        with file.open("rb") as stream:
            check_suppressions(stream, name)
            rows = read_suppressions(stream, name, f"import of {file.name}")
            return {"rows": await family.suppressions.add_all(rows)}

    done = run_in_family(app, EmailFamily, act)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{done['rows']:,} addresses are suppressed")


@suppressions.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write the CSV.")],
    list_name: Annotated[str | None, typer.Option("--list", help="Only those of this list.")] = None,
    app: App = None,
) -> None:
    """Write the suppressed addresses to a CSV file, which `import` takes."""

    async def act(_: JobApp, family: EmailFamily) -> None:
        from celeriac.families.email.suppression_csv import write_suppressions

        with file.open("wb") as out:
            async with aclosing(write_suppressions(family.suppressions.all(list_name))) as pieces:
                async for piece in pieces:
                    out.write(piece)

    try:
        run_in_family(app, EmailFamily, act)
    except OSError as error:
        raise CommandLineWrong(f"{file}: cannot be written: {error.strerror}") from None


def _tell(done: dict[str, Any], as_json: bool, yes: str, no: str) -> None:
    if as_json:
        print_json(done)
    else:
        of = f" for the list {done['list']}" if done["list"] else ""
        typer.echo(f"{done['email']} {yes if done['new'] else no}{of}")


def _facts(one: Suppression) -> dict[str, Any]:
    cells = (one.address, one.list_name, one.reason.value, one.source, one.created_at)
    return dict(zip(_COLUMNS, cells, strict=True))


def _parsed(address: str) -> str:
    from celeriac.families.email.address import identity, parse_address

    try:
        return identity(parse_address(address.strip()))
    except ValueError as error:
        raise CommandLineWrong(f"ADDRESS: {error}") from None


def _checked(list_name: str | None) -> str:
    from celeriac.families.email.suppression import is_list_name

    if list_name and not is_list_name(list_name):
        raise CommandLineWrong("--list: a name has letters, digits, `.`, `_` and `-`, and at most 100 of them")
    return list_name or ""
