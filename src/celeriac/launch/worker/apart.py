"""Runs `celeriac worker` for an application that cannot be forked: each shard is a separate program.

    python -m celeriac.launch.worker.apart [OPTION…]

`celeriac worker` replaces itself by this program when it finds that out. This ends the threads and connections that the
application has begun. The settings are in the environment, and the options are those of `celery worker`.
"""

from __future__ import annotations

import sys

from celeriac.core.errors import CeleriacError
from celeriac.core.exits import exit_code
from celeriac.launch.worker.shards import run_apart
from celeriac.settings import load_settings, show


def main() -> None:
    """Run the shards until a signal, and exit."""
    try:
        run_apart(load_settings(), sys.argv[1:], sys.stderr)
    except CeleriacError as error:
        show(error)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
