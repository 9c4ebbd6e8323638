"""Checks of cleanups: of what they need, for `celeriac doctor`, and of files with policies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from celeriac.core.errors import DatabaseUnavailable
from celeriac.core.files import writable_for_others
from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.database.checks import check_connections
from celeriac.families.cleanup.errors import CleanupRefused, PolicyInvalid
from celeriac.families.cleanup.explained import explain_all
from celeriac.families.cleanup.indexes import slow_references
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies, read_policy
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.settings import CleanupSettings

_PATIENCE_S = 5.0


async def check_cleanup(own: CleanupSettings) -> Sequence[Finding]:
    """Report for each connection whether it answers, what keeps or slows policies, and how the archives' folder is."""
    connections, policies = await asyncio.gather(
        check_connections(own.cleanup_connections, family="cleanup", setting="CELERIAC_CLEANUP_CONNECTIONS"),
        _check_policies(own),
    )
    if own.cleanup_archives is None:  # it is in the data directory, of which the doctor looks at the room
        return [*connections, *policies]
    return [*connections, *policies, await asyncio.to_thread(_check_archives, own.cleanup_archives)]


async def _check_policies(own: CleanupSettings) -> Sequence[Finding]:
    """Report what a run of each policy of the folder would be refused for, or be slow by."""
    if own.cleanup_folder is None:
        return []
    places, policies = Places(own, Path()), Policies()
    policies.add_folder(own.cleanup_folder)
    unusable = [
        fail("cleanup: policies", str(error), "correct the file: no worker starts until then")
        for error in policies.unusable
    ]
    try:
        findings = await asyncio.gather(*(_check_policy(places, policy) for policy in policies))
    finally:
        await places.databases.dispose()
    return [*unusable, *(finding for finding in findings if finding is not None)]


async def _check_policy(places: Places, policy: Policy) -> Finding | None:
    """None: its database does not answer, which has a finding of its own."""
    title = f"cleanup: policy {policy.name}"
    try:
        places.check(policy)
        slow = await _tried(places, policy)
    except (DatabaseUnavailable, TimeoutError):
        return None
    except CleanupRefused as error:
        return fail(title, str(error), "its runs fail until then")
    return warn(title, "; ".join(slow), "its runs take long until then") if slow else ok(title, "can run")


async def _tried(places: Places, policy: Policy) -> list[str]:
    """Have the database look at a policy's tables and statements, and return what would make a run slow.

    Raises:
        CleanupRefused: a run would be refused.
        DatabaseUnavailable, TimeoutError: it does not answer.
    """
    place = places.of(policy)

    def look(connection: Connection) -> list[str]:
        planned = place.plan(connection, policy)
        explain_all(connection, planned)
        return slow_references(connection, planned)

    async with asyncio.timeout(_PATIENCE_S):
        return await place.database.look(look)


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
        return warn(
            path.name, f"the settings of this shell do not fit: {error}", "a worker with these settings does not start"
        )
    return ok(path.name, f"{policy.name}: {policy.action} rows of {policy.connection}.{policy.table}")


async def check_files_there(paths: Sequence[Path], own: CleanupSettings) -> list[Finding]:
    """Report the same of several files, and whether their databases take them. Nothing is changed there."""
    return await asyncio.gather(*(_check_file_there(path, own) for path in paths))


async def _check_file_there(path: Path, own: CleanupSettings) -> Finding:
    found = check_file(path, own)
    if found.status is not Status.OK:
        return found
    places, policy = Places(own, Path()), read_policy(path)
    try:
        slow = await _tried(places, policy)
    except (DatabaseUnavailable, TimeoutError) as error:
        says = str(error) or f"no answer within {_PATIENCE_S:g} s"
        return fail(path.name, f"connection {policy.connection}: {says}", "correct CELERIAC_CLEANUP_CONNECTIONS")
    except CleanupRefused as error:
        return fail(path.name, str(error), "correct the file, or the database: its runs fail until then")
    finally:
        await places.databases.dispose()
    return warn(path.name, "; ".join(slow), "its runs take long until then") if slow else found
