"""`celeriac families`, and the groups of commands that job families bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from celeriac.cli.output import AsJson, Column, print_json, print_table
from celeriac.core.errors import CommandLineWrong, NotInstalled

if TYPE_CHECKING:
    from celeriac.discovery import Guest

_COLOURS = {"on": "green", "off": "yellow", "missing": "yellow"}


def families(as_json: AsJson = False) -> None:
    """List job families: what is there, what is switched off, and what to install for others."""
    found = _guests()
    if as_json:
        print_json(
            [
                {"family": guest.name, "state": guest.presence, "summary": guest.kind.summary, "advice": guest.absence}
                for guest in found
            ]
        )
        return
    columns = [
        Column(name="family"),
        Column(name="state", colour=_COLOURS.get),
        Column(name="summary", shortest=20),
        Column(name="advice"),
    ]
    print_table(columns, [[guest.name, guest.presence, guest.kind.summary, guest.absence] for guest in found])


class WithFamilies(TyperGroup):
    """The commands of the house, and one group for each family that brings commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *self._groups()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        return command if command is not None else self._groups().get(cmd_name) or _absent(cmd_name)

    def _groups(self) -> dict[str, Any]:
        return {
            guest.name: typer.main.get_command(commands)
            for guest in _guests()
            if not guest.absence and (commands := guest.kind.commands()) is not None
        }


def _absent(name: str) -> Any:
    """A command that says why the family of that name is not there; None if there is no such family."""
    guest = next((guest for guest in _guests() if guest.name == name and guest.absence), None)
    if guest is None:
        return None

    explaining = typer.Typer(add_completion=False)
    takes_all: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @explaining.command(name, context_settings=takes_all)
    def explain() -> None:
        raise NotInstalled(guest.absence) if guest.presence == "missing" else CommandLineWrong(guest.absence)

    return typer.main.get_command(explaining)


def _guests() -> list[Guest]:
    from celeriac.discovery import guests
    from celeriac.settings import load_settings

    return guests(load_settings())
