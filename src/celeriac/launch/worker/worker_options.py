"""Celery's own options on the command line of `celeriac worker`: those that its shards cannot take as they are.

They are passed on unread but for these; Celery's own parser would bring all of Celery into the parent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from celeriac.core.errors import CommandLineWrong

#: Flags, and the letters that take no value of their own and so can stand before them, as in `-EB`.
_FLAG = r"-(?:(?!{letter})[DEB])*{letter}[DEB]*"
_REFUSED = (
    (
        re.compile(f"--beat|{_FLAG.format(letter='B')}"),
        "-B",
        "each shard would be one; run `celeriac beat` beside it",
    ),
    (re.compile(f"--detach|{_FLAG.format(letter='D')}"), "-D", "run it in the background by your service manager"),
    (re.compile("--purge|--discard"), "--purge", "each restart would purge again; use `celery -A APP purge` before"),
)
_OWN_FILE = (("--pidfile", None), ("--statedb", "-S"))
_PREFORK = frozenset({"prefork", "processes"})
_PATCHING = frozenset({"eventlet", "gevent"})
_NAME = "celery@%h"  # Celery's default


def check(options: Sequence[str], shards: int) -> None:
    """Refuse what cannot work with processes that are started again.

    Raises:
        CommandLineWrong: names the option and what to do instead.
    """
    for pattern, name, advice in _REFUSED:
        if any(pattern.fullmatch(option) for option in options):
            raise CommandLineWrong(f"{name} cannot be used here: {advice}")
    for long, short in _OWN_FILE:
        value = value_of(options, long, short)
        if shards > 1 and value is not None and "%n" not in value:
            raise CommandLineWrong(f"{long} {value}: each of {shards} shards needs its own; put %n into the name")


def is_prefork(options: Sequence[str]) -> bool:
    """Whether the pool is named, and one that has processes of its own."""
    return value_of(options, "--pool", "-P") in _PREFORK


def patches_modules(options: Sequence[str]) -> bool:
    """Whether the pool is one that changes Python's modules before anything else is imported."""
    return value_of(options, "--pool", "-P") in _PATCHING


def hostname(options: Sequence[str], number: int, shards: int) -> tuple[str, ...]:
    """The option that names shard `number`, from 1 on. A lone one is named as Celery, or the user, has it."""
    if shards == 1:
        return ()
    name, _, host = (value_of(options, "--hostname", "-n") or _NAME).partition("@")
    return ("--hostname", f"{name}-{number}@{host or '%h'}")


def value_of(options: Sequence[str], long: str, short: str | None) -> str | None:
    """The value that the option was given last: `--long=X`, `--long X`, `-l X` or `-lX`."""
    value = None
    for option, following in zip_longest(options, options[1:]):
        if option in (long, short):
            value = following
        elif option.startswith(f"{long}="):
            value = option.removeprefix(f"{long}=")
        elif short is not None and option.startswith(short):
            value = option.removeprefix(short)
    return value
