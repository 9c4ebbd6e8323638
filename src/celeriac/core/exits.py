"""How a process of Celeriac ends: the exit codes, and which error has which."""

from __future__ import annotations

import json
from enum import IntEnum

from celeriac.core.errors import (
    ApplicationNotLoaded,
    BrokerUnavailable,
    CeleriacError,
    CommandLineWrong,
    ConfigurationError,
    NotInstalled,
    ResourceBusy,
    StartFailed,
    StartRefused,
)


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILURE = 1
    """It was tried, and did not work."""
    USAGE = 2
    """The command line is wrong."""
    CONFIGURATION = 3
    """A setting is wrong."""
    BUSY = 4
    """The data directory or a port is in use."""
    UNAVAILABLE = 5
    """The broker cannot be reached."""
    APPLICATION = 6
    """The application cannot be loaded."""
    NOT_INSTALLED = 7
    """The command needs an extra that is not installed."""


#: Starts the line by which a process tells its parent why it ends.
FAILED = "failed"
#: Characters, of which each takes 12 bytes at most in JSON: a line of the parent's has 64 KiB.
_LONGEST_MESSAGE, _LONGEST_TRACEBACK = 1_200, 4_000


def exit_code(error: CeleriacError) -> ExitCode:
    """The exit code for an error."""
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
        case BrokerUnavailable():
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.FAILURE


def as_line(error: CeleriacError) -> str:
    """The line for a parent: exit code, message, and traceback or nothing."""
    message, traceback = str(error)[:_LONGEST_MESSAGE], getattr(error, "traceback", "")[-_LONGEST_TRACEBACK:]
    return f"{FAILED} {json.dumps([int(exit_code(error)), message, traceback])}\n"


def refusal_of(line: str) -> StartRefused | None:
    """What such a line says; None if it is another one."""
    kind, _, content = line.partition(" ")
    if kind != FAILED:
        return None
    try:
        code, message, traceback = json.loads(content)
    except ValueError:  # it only looks like one, or is cut
        return None
    return StartRefused(message, code, traceback)
