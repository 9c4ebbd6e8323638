"""Reads those of Celery's options that the shards of `celeriac worker` cannot take unchanged.

The parent passes all others on unread. Celery's own parser would import all of Celery into the parent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from celeriac.core.errors import CommandLineWrong

#: A flag, after letters that take no value, as in `-EB`.
_FLAG = r"-(?:(?!{letter})[DEB])*{letter}[DEB]*"
_REFUSED = (
    (
        re.compile(f"--beat|{_FLAG.format(letter='B')}"),
        "-B",
        "each shard would run beat; run `celeriac beat` beside the worker",
    ),
    (re.compile(f"--detach|{_FLAG.format(letter='D')}"), "-D", "run it in the background by your service manager"),
    (re.compile("--purge|--discard"), "--purge", "each restart would purge again; use `celery -A APP purge` before"),
)
_OWN_FILE = (("--pidfile", None), ("--statedb", "-S"))
_PREFORK = frozenset({"prefork", "processes"})
_PATCHING = frozenset({"eventlet", "gevent"})
_NAME = "celery@%h"  # Celery's default


def check(options: Sequence[str], shards: int) -> None:
    """Refuse options that cannot work with processes that restart.

    Raises:
        CommandLineWrong: the message names the option, and what to do instead.
    """
    for pattern, name, advice in _REFUSED:
        if any(pattern.fullmatch(option) for option in options):
            raise CommandLineWrong(f"{name} cannot be used here: {advice}")
    for long, short in _OWN_FILE:
        value = value_of(options, long, short)
        if shards > 1 and value is not None and "%n" not in value:
            raise CommandLineWrong(f"{long} {value}: each of {shards} shards needs its own; put %n into the name")


def is_prefork(options: Sequence[str]) -> bool:
    """Return whether the options name the pool of processes."""
    return value_of(options, "--pool", "-P") in _PREFORK


def patches_modules(options: Sequence[str]) -> bool:
    """Return whether the options name a pool that patches Python's modules before other imports."""
    return value_of(options, "--pool", "-P") in _PATCHING


def hostname(options: Sequence[str], number: int, shards: int) -> tuple[str, ...]:
    """Return the option that names shard `number` (from 1). A single shard keeps the name of Celery or the user."""
    if shards == 1:
        return ()
    name, _, host = (value_of(options, "--hostname", "-n") or _NAME).partition("@")
    return ("--hostname", f"{name}-{number}@{host or '%h'}")


def value_of(options: Sequence[str], long: str, short: str | None) -> str | None:
    """Return the last value of the option: `--long=X`, `--long X`, `-l X` or `-lX`."""
    value = None
    for option, following in zip_longest(options, options[1:]):
        if option in (long, short):
            value = following
        elif option.startswith(f"{long}="):
            value = option.removeprefix(f"{long}=")
        elif short is not None and option.startswith(short):
            value = option.removeprefix(short)
    return value
