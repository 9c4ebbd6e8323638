"""All scripts, checked when a process starts: what Lua and Python disagree on shows then, and not at the first call."""

from __future__ import annotations

from celeriac.store.jobs import beginnings, chords, enqueueing, results, transitions
from celeriac.store.messages import (
    dead_letters,
    deliveries,
    revocations,
    scheduled,
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
    revocations,
    scheduled,
    worker_hold,
    worker_leases,
)


def scripts() -> list[Script]:
    """Every script of the package."""
    return [value for module in _MODULES for value in vars(module).values() if isinstance(value, Script)]


def check_scripts() -> None:
    """Read all scripts, and compare their fields with Python's. They stay in memory, so that a fork shares them.

    Raises:
        InstallationBroken: a field is known to one side only. The message names script and field.
    """
    for script in scripts():
        _ = script.sha
