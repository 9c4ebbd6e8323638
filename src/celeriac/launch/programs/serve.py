"""Loads the application, then runs uvicorn: `python -m celeriac.launch.programs.serve TARGET [OPTION...]`.

TARGET and options are uvicorn's. A fault in the application gives one line, and not uvicorn's traceback.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from celeriac.core.errors import CeleriacError
from celeriac.engine.start import loading
from celeriac.launch.programs.commands import DEFAULT_API


def main(arguments: list[str]) -> None:
    """Load the application, and have uvicorn serve it."""
    report_to = None
    if arguments[0] == "--report-to":
        report_to, arguments = int(arguments[1]), arguments[2:]
    try:
        _load(uvicorn.main.make_context("uvicorn", list(arguments), resilient_parsing=True).params)
        uvicorn.main(arguments, prog_name="uvicorn")
    except CeleriacError as error:
        loading.leave(error, report_to)


def _load(options: dict[str, Any]) -> None:
    """Import the target with the path and variables that uvicorn will set, so that errors are reported in one line.

    uvicorn makes the built-in API itself, in this process, so its errors are reported too. Processes that uvicorn
    starts for `--workers` and `--reload` would show a traceback, so for these the API is made once here.
    """
    if options.get("app_dir"):
        sys.path.insert(0, options["app_dir"])
    if options.get("env_file"):
        from dotenv import load_dotenv  # which uvicorn uses

        load_dotenv(options["env_file"])
    target = options.get("app")
    if target is None:
        return  # uvicorn reports that
    if target != DEFAULT_API:
        loading.load_asgi(target)
    elif options.get("reload") or (options.get("workers") or 1) > 1:
        from celeriac.asgi import create_api

        create_api()


if __name__ == "__main__":
    main(sys.argv[1:])
