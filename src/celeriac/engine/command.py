"""Celery's own commands, started faster: `python -m celeriac.engine.command -A APP worker|beat|flower [OPTION...]`.

`celery` imports every command and every plugin it has, an interactive shell and Flower among them, before it runs
one: half a second to a second of each process's start. Here the named one is imported. Its options are Celery's.
"""

from __future__ import annotations

import re
from typing import Any

import click
from celery import maybe_patch_concurrency
from celery.app.utils import find_app
from celery.bin.base import CLIContext, consume_preload_options
from kombu.utils.imports import symbol_by_name

from celeriac.engine import shard

_COMMANDS = {
    "worker": "celery.bin.worker:worker",
    "beat": "celery.bin.beat:beat",
    "flower": "flower.command:flower",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name) if cmd_name in _COMMANDS else None


@click.group(cls=_Commands)
@click.option("-A", "--app", "address", required=True, help="The application, module:attribute.")
@click.option("--report-to", type=int, hidden=True, help="File descriptor on which a parent listens (shard.py).")
@click.option("--cores", type=int, hidden=True, help="A shard's part of the cores.")
@click.pass_context
def celery(context: click.Context, address: str, report_to: int | None, cores: int | None) -> None:
    """Run one of Celery's commands."""
    app = loaded(address)
    if report_to is not None:
        shard.report(app, report_to)
    if cores is not None:
        shard.limit_pool(cores)
    context.obj = CLIContext(app=app, no_color=False, workdir=None)
    name = context.invoked_subcommand or ""
    command = _command(name)
    command.params.extend(app.user_options.get(name, ()))
    if preload := app.user_options.get("preload"):
        command.params.extend(preload)
        command.callback = consume_preload_options(command.callback)


def _command(name: str) -> Any:
    return symbol_by_name(_COMMANDS[name])


def loaded(address: str) -> Any:
    """The application at `address`.

    Raises:
        BadParameter: it is not there: a wrong option, not a traceback.
    """
    try:
        return find_app(address)
    except ModuleNotFoundError as error:  # for an attribute that is missing too, named `module:attribute`
        if error.name is None or not re.match(rf"{re.escape(error.name)}([.:]|$)", address):
            raise  # it is there, and misses a module itself
        raise click.BadParameter(f"there is no {error.name!r}", param_hint="--app") from None


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line, `sys.argv` by default, and exit."""
    maybe_patch_concurrency()
    return celery(arguments, prog_name="celery", auto_envvar_prefix="CELERY")


if __name__ == "__main__":
    main()
