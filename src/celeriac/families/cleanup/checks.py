"""Checks of cleanups: of what they need, for `celeriac doctor`, and of files with policies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from celeriac.core.files import writable_for_others
from celeriac.core.findings import Finding, fail, ok, warn
from celeriac.database.checks import check_connections
from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import read_policy
from celeriac.families.cleanup.settings import CleanupSettings


async def check_cleanup(own: CleanupSettings) -> Sequence[Finding]:
    """Report for each connection whether it answers, and whether the folder of archives can be used."""
    connections = await check_connections(
        own.cleanup_connections, family="cleanup", setting="CELERIAC_CLEANUP_CONNECTIONS"
    )
    if own.cleanup_archives is None:  # it is in the data directory, of which the doctor looks at the room
        return connections
    return [*connections, await asyncio.to_thread(_check_archives, own.cleanup_archives)]


def _check_archives(folder: Path) -> Finding:
    """Look at the folder as a run would see it, and change nothing."""
    title, advice = "cleanup: archives", "correct CELERIAC_CLEANUP_ARCHIVES: policies that archive stop until then"
    place = folder if folder.exists() else folder.parent
    if not place.is_dir():
        return fail(title, f"{place} is no folder", advice)
    if not os.access(place, os.W_OK | os.X_OK):
        return fail(title, f"{place} is not writable", advice)
    if place == folder and writable_for_others(folder):
        return fail(title, f"others can write to {folder}, and could replace archives", f"chmod go-w {folder}")
    room = os.statvfs(place)
    return ok(title, f"{folder} can be written, with {room.f_bavail * room.f_frsize // 1_000_000:,} MB free")


def check_file(path: Path, own: CleanupSettings) -> Finding:
    """Report whether the policy of a file can be used, and whether the settings allow it. Connect to nothing."""
    try:
        policy = read_policy(path)
    except PolicyInvalid as error:
        return fail(path.name, str(error), "correct the file")
    try:
        Places(own, Path()).check(policy)
    except PolicyInvalid as error:
        return warn(path.name, f"not with the settings of here: {error}", "a worker with these settings does not start")
    return ok(path.name, f"{policy.name}: {policy.action} rows of {policy.connection}.{policy.table}")
