"""The command line: `celeriac`, with a group of commands in each module."""

from celeriac.cli.main import EXIT_CODES, cli, main
from celeriac.core.exits import ExitCode

__all__ = ["EXIT_CODES", "ExitCode", "cli", "main"]
