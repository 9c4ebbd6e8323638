"""The command `celeriac`, and `python -m celeriac`. Says which extra it needs, if that is missing."""

from __future__ import annotations

import sys

from celeriac.core.collector import paused
from celeriac.core.errors import NotInstalled
from celeriac.core.exits import exit_code
from celeriac.core.extras import require


def main() -> None:
    """Run the command line and exit."""
    try:
        require("cli", "the command `celeriac`")
    except NotInstalled as error:
        sys.stderr.write(f"celeriac: error: {error} (a worker needs nothing more: celery -A MODULE worker)\n")
        sys.exit(exit_code(error))
    with paused():
        from celeriac.cli import main

    main()


if __name__ == "__main__":
    main()
