"""The command `celeriac`, and `python -m celeriac`. It names the extra to install if that is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celeriac.core.collector import paused
from celeriac.core.errors import CeleriacError, NotInstalled
from celeriac.core.exits import exit_code
from celeriac.core.extras import COMMANDS, MODULES, absent, advice


def main() -> None:
    """Run the command line and exit."""
    try:
        _require_typer(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
    except NotInstalled as error:
        sys.stderr.write(f"celeriac: error: {error}\n")
        sys.exit(exit_code(error))
    if sys.argv[1:2] == ["worker"]:
        _run_worker(sys.argv[2:])
    with paused():
        from celeriac.cli import main

    main()


def _require_typer(command: str) -> None:
    """Do nothing if typer is installed. Else name at once all that the command lacks.

    Raises:
        NotInstalled: typer is not installed.
    """
    missing = absent(MODULES["cli"])
    if not missing:
        return
    extra, modules = COMMANDS.get(command) or _extra_of_family(command)
    lacks = absent(modules)
    extras = "stack" if extra == "stack" else f"cli,{extra}" if lacks else "cli"  # the stack's extra has typer
    what = f"`celeriac {command}`" if command else "the command `celeriac`"
    hint = " (a worker needs nothing more: celery -A MODULE worker)" if command == "worker" else ""
    raise NotInstalled(f"{what} needs {' and '.join([*missing, *lacks])}: {advice(f'celeriac[{extras}]')}{hint}")


def _extra_of_family(name: str) -> tuple[str, Sequence[str]]:
    """Return the extra of Celeriac that the family needs, and its modules; nothing if there is no such family."""
    from celeriac.discovery import found

    kinds = [kind for kind in found().values() if not isinstance(kind, str)]
    kind = next((kind for kind in kinds if name in (kind.name, kind.command or kind.name)), None)
    if kind is None or not kind.extra.startswith("celeriac["):
        return "", ()
    return kind.extra.removeprefix("celeriac[").removesuffix("]"), kind.requires


def _run_worker(arguments: Sequence[str]) -> None:
    """Run the command `worker`, which is to start soon and small, without typer; return if typer is needed."""
    with paused():
        from celeriac.launch.worker import command_line
        from celeriac.settings import show

    line = command_line.read(arguments)
    if line is None:
        return
    try:
        command_line.main(line)
    except CeleriacError as error:
        show(error)
        sys.exit(exit_code(error))
    sys.exit()


if __name__ == "__main__":
    main()
