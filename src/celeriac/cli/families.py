"""`celeriac families`, and the groups of commands that job families add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from celeriac.core.errors import CeleriacError, CommandLineWrong, ConfigurationError, NotInstalled
from celeriac.terminal import AsJson, Column, print_json, print_table

if TYPE_CHECKING:
    from celeriac.discovery import Guest

_COLOURS = {"on": "green", "off": "yellow", "missing": "yellow", "broken": "red"}


def families(as_json: AsJson = False) -> None:
    """List job families, and say why some are switched off, not installed or broken."""
    found = _guests()
    if as_json:
        print_json(
            [
                {"family": guest.name, "state": guest.presence, "summary": guest.summary, "advice": guest.absence}
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
    print_table(columns, [[guest.name, guest.presence, guest.summary, guest.absence] for guest in found])


class WithFamilies(TyperGroup):
    """Celeriac's own commands, and one group for each family that has commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *(guest.command for guest in _guests_anyhow() if _group_of(guest) is not None)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        named = next((guest for guest in _guests_anyhow() if cmd_name in (guest.command, guest.name)), None)
        return named and (_group_of(named) or _absent(cmd_name, named))


def _group_of(guest: Guest) -> Any:
    """Return a family's commands, or None if it has none. The command of a broken family says what is wrong."""
    if guest.absence:
        return None
    from celeriac.discovery import broken, warn

    assert guest.kind is not None
    try:
        commands = guest.kind.commands()
        if commands is None:
            return None
        outer = typer.Typer(add_completion=False)  # else the help of the group would list options for that
        outer.add_typer(commands, name=guest.command)
        group: Any = typer.main.get_command(outer)
        return group.commands[guest.command]
    except Exception as error:
        absence = broken(guest.name, "commands()", error)
        warn(absence)
        return _saying(guest.command, CommandLineWrong(absence))


def _absent(name: str, guest: Guest) -> Any:
    """Make a command that says why the family is absent. Return None if it is there, and only has no commands."""
    if not guest.absence:
        return None
    kind = NotInstalled if guest.presence == "missing" else CommandLineWrong
    return _saying(name, kind(guest.absence))


def _saying(name: str, error: CeleriacError) -> Any:
    """Make a command that accepts any arguments, and ends with this error."""
    explaining = typer.Typer(add_completion=False)
    takes_all: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @explaining.command(name, context_settings=takes_all, hidden=True)
    def explain() -> None:
        raise error

    return typer.main.get_command(explaining)


def _guests() -> list[Guest]:
    from celeriac.discovery import guests
    from celeriac.settings import load_settings

    return guests(load_settings())


def _guests_anyhow() -> list[Guest]:
    """Return the families, even if a setting is wrong: the command itself then reports that."""
    from celeriac.discovery import guests_unread

    try:
        return _guests()
    except ConfigurationError:
        return guests_unread()
