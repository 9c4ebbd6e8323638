"""The exit codes of Celeriac's processes, and the error for each."""

from __future__ import annotations

from enum import IntEnum

from celeriac.core.errors import (
    ApplicationNotLoaded,
    BrokerUnavailable,
    CeleriacError,
    CommandLineWrong,
    ConfigurationError,
    DatabaseUnavailable,
    NotInstalled,
    ResourceBusy,
    StartFailed,
    StartRefused,
    WrongState,
)


class ExitCode(IntEnum):
    """The exit code of a command."""

    OK = 0
    FAILURE = 1
    """The command failed."""
    USAGE = 2
    """The command line is wrong."""
    CONFIGURATION = 3
    """A setting is wrong."""
    BUSY = 4
    """The data directory or a port is in use."""
    UNAVAILABLE = 5
    """The broker, or a database, cannot be reached, or refuses."""
    APPLICATION = 6
    """The application cannot be loaded."""
    NOT_INSTALLED = 7
    """The command needs an extra that is not installed."""
    STATE = 8
    """What the command is for does not allow it now: it runs already, is paused, or has ended."""


def exit_code(error: CeleriacError) -> ExitCode:
    """Return the exit code for an error."""
    match error:
        case StartRefused():
            return ExitCode(error.code)
        case CommandLineWrong() | StartFailed(code=ExitCode.USAGE):
            return ExitCode.USAGE
        case ApplicationNotLoaded():
            return ExitCode.APPLICATION
        case NotInstalled():
            return ExitCode.NOT_INSTALLED
        case ResourceBusy():
            return ExitCode.BUSY
        case ConfigurationError():
            return ExitCode.CONFIGURATION
        case BrokerUnavailable() | DatabaseUnavailable():
            return ExitCode.UNAVAILABLE
        case WrongState():
            return ExitCode.STATE
        case _:
            return ExitCode.FAILURE
