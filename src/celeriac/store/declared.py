"""Checks all scripts when a process starts, so that a difference between Lua and Python shows before the first call."""

from __future__ import annotations

from celeriac.store import limits
from celeriac.store.jobs import beginnings, chords, enqueueing, results, transitions
from celeriac.store.messages import (
    dead_letters,
    deliveries,
    postponing,
    revocations,
    scheduled,
    taking,
    worker_hold,
    worker_leases,
)
from celeriac.store.scripts.script import Script

_MODULES = (
    beginnings,
    chords,
    enqueueing,
    results,
    transitions,
    dead_letters,
    deliveries,
    postponing,
    revocations,
    scheduled,
    taking,
    worker_hold,
    worker_leases,
    limits,
)


def scripts() -> list[Script]:
    """Return every script of the package."""
    return [value for module in _MODULES for value in vars(module).values() if isinstance(value, Script)]


def check_scripts() -> None:
    """Read all scripts, and compare their fields with Python's. They stay in memory, so that a fork shares them.

    Raises:
        InstallationBroken: a script cannot be read, or only one side has a field. The message names it.
    """
    for script in scripts():
        _ = script.sha
