"""Starts Celery's own commands faster: `python -m celeriac.engine.start.command -A APP worker|beat|flower [OPTION…]`.

`celery` imports every command and plugin, even an interactive shell and Flower, before it runs one command. That takes
half a second to a second of each start. This module imports only the named command. Its options are Celery's.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click
from celery import maybe_patch_concurrency
from kombu.utils.imports import symbol_by_name

from celeriac.core.errors import CeleriacError, CommandLineWrong
from celeriac.engine.start import loading, shard


@contextmanager
def _hidden(package: str) -> Generator[None]:
    """Hide a package, so that it looks as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


with _hidden("pygments"):  # it colours Python for commands that we lack, and its import takes 40 ms
    from celery.bin.base import CLIContext, consume_preload_options

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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. If it cannot start, report why in one line, to the parent if there is one."""
        report_to = ctx.params["report_to"]
        try:
            return super().invoke(ctx)
        except CeleriacError as error:
            loading.leave(error, report_to)
        except click.UsageError as error:
            loading.leave(CommandLineWrong(error.format_message()), report_to)


@click.group(cls=_Commands)
@click.option("-A", "--app", "address", required=True, help="The application, module:attribute.")
@click.option("--report-to", type=int, hidden=True, help="File descriptor on which a parent listens (shard.py).")
@click.option("--cores", type=int, hidden=True, help="A shard's part of the cores.")
@click.pass_context
def celery(context: click.Context, address: str, report_to: int | None, cores: int | None) -> None:
    """Run one of Celery's commands."""
    app = loading.load_with_tasks(address)
    if report_to is not None and context.invoked_subcommand == "worker":
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


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line, `sys.argv` by default, and exit."""
    maybe_patch_concurrency()
    return celery(arguments, prog_name="celery", auto_envvar_prefix="CELERY")


if __name__ == "__main__":
    main()
