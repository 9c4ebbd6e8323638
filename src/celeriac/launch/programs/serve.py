"""uvicorn, once the application is known to be there: `python -m celeriac.launch.programs.serve TARGET [OPTION...]`.

TARGET and options are uvicorn's. What is wrong with the application is one line, and not uvicorn's traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import uvicorn

from celeriac.core.errors import CeleriacError
from celeriac.engine.start import loading
from celeriac.launch.programs.commands import DEFAULT_API
from celeriac.settings import DEFAULT_APP, load_settings


def main(arguments: list[str]) -> None:
    """Load the application, and have uvicorn serve it."""
    report_to = None
    if arguments[0] == "--report-to":
        report_to, arguments = int(arguments[1]), arguments[2:]
    try:
        _load(uvicorn.main.make_context("uvicorn", list(arguments), resilient_parsing=True).params)
    except CeleriacError as error:
        loading.leave(error, report_to)
    if report_to is not None:
        os.close(report_to)
    uvicorn.main(arguments, prog_name="uvicorn")


def _load(options: dict[str, Any]) -> None:
    """Import here, where errors are told, what uvicorn will look up, where and with what environment it will."""
    if options.get("app_dir"):
        sys.path.insert(0, options["app_dir"])
    if options.get("env_file"):
        from dotenv import load_dotenv  # which uvicorn uses

        load_dotenv(options["env_file"])
    target = options.get("app")
    if target is None:
        return  # uvicorn says so
    if target != DEFAULT_API:
        loading.load_asgi(target)
        return
    importlib.import_module(DEFAULT_API.partition(":")[0])  # which makes the built-in application
    from celeriac.application import load_app

    address = load_settings().app
    if address != DEFAULT_APP:
        load_app(address)


if __name__ == "__main__":
    main(sys.argv[1:])
