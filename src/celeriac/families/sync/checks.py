"""What `celeriac sync check` says of files with definitions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.core.yaml_files import files_of, read_model
from celeriac.database.checks import check_connections
from celeriac.families.sync.model import FileDestination, Sync
from celeriac.families.sync.settings import SyncSettings


async def check_syncs(own: SyncSettings) -> list[Finding]:
    """Report for `celeriac doctor` whether connections answer, and whether a worker could use the folder's files."""
    connections = await check_connections(
        own.sync_connections, family="sync", setting="CELERIAC_SYNC_CONNECTIONS", may_create=True
    )
    files = [] if own.sync_folder is None else [check_file(file, own) for file in files_of(own.sync_folder)]
    for one in files:  # what is a warning where files are written is a worker that does not start here
        status = Status.OK if one.status is Status.OK else Status.FAIL
        connections = [*connections, replace(one, check=f"sync: {one.check}", status=status)]
    return list(connections)


def check_file(path: Path, own: SyncSettings) -> Finding:
    """Report whether the definition of a file can be used, and whether the settings fit. Connect to nothing."""
    try:
        sync = read_model(path, Sync, "a sync")
    except ValueError as error:
        return fail(path.name, str(error), "correct the file")
    streams = ", ".join(stream.name for stream in sync.streams)
    if isinstance(sync.destination, FileDestination):
        return ok(path.name, f"{sync.name}: {streams} into {sync.destination.files} files")
    connection = sync.destination.connection
    if connection not in own.sync_connections:
        known = ", ".join(own.sync_connections) or "there are none"
        return warn(
            path.name,
            f"not with the settings of this shell: destination.connection: none is named {connection!r}: {known}",
            "a worker with these settings does not start; name it in CELERIAC_SYNC_CONNECTIONS",
        )
    return ok(path.name, f"{sync.name}: {streams} into {connection}")
