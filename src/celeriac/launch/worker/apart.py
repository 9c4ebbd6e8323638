"""`celeriac worker` with an application that cannot be forked: each shard is a program of its own.

    python -m celeriac.launch.worker.apart [OPTION…]

`celeriac worker` becomes this program when it has seen that, to be rid of what the application has begun. The settings
are in the environment, and the options are those of `celery worker`.
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
