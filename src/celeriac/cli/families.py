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
        return [*super().list_commands(ctx), *self._groups()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        return command if command is not None else self._groups().get(cmd_name) or _absent(cmd_name)

    def _groups(self) -> dict[str, Any]:
        groups = {_command(guest): _group(guest) for guest in _guests_or_none() if not guest.absence}
        return {name: group for name, group in groups.items() if group is not None}


def _group(guest: Guest) -> Any:
    """Return a family's commands, or None if it has none. The command of a broken family says what is wrong."""
    from celeriac.discovery import broken, warn

    assert guest.kind is not None
    try:
        commands = guest.kind.commands()
        if commands is None:
            return None
        outer = typer.Typer(add_completion=False)  # else the help of the group would list options for that
        outer.add_typer(commands, name=_command(guest))
        group: Any = typer.main.get_command(outer)
        return group.commands[_command(guest)]
    except Exception as error:
        absence = broken(guest.name, "commands()", error)
        warn(absence)
        return _saying(_command(guest), CommandLineWrong(absence))


def _command(guest: Guest) -> str:
    """Return the name of a family's group of commands. A family that cannot be imported has only its own name."""
    return (guest.kind.command if guest.kind is not None else "") or guest.name


def _absent(name: str) -> Any:
    """Make a command that says why the family is absent. Return None if no family has that name."""
    guest = next(
        (guest for guest in _guests_or_none() if name in (guest.name, _command(guest)) and guest.absence), None
    )
    if guest is None:
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


def _guests_or_none() -> list[Guest]:
    """Return the families; none if a setting is wrong, since the command itself then reports that."""
    try:
        return _guests()
    except ConfigurationError:
        return []
