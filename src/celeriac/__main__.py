"""The command `celeriac`, and `python -m celeriac`. It names the extra to install if that is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celeriac.core.collector import paused
from celeriac.core.errors import CeleriacError, NotInstalled
from celeriac.core.exits import exit_code
from celeriac.core.extras import require


def main() -> None:
    """Run the command line and exit."""
    try:
        require("cli", "the command `celeriac`")
    except NotInstalled as error:
        sys.stderr.write(f"celeriac: error: {error} (a worker needs nothing more: celery -A MODULE worker)\n")
        sys.exit(exit_code(error))
    if sys.argv[1:2] == ["worker"]:
        _run_worker(sys.argv[2:])
    with paused():
        from celeriac.cli import main

    main()


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
