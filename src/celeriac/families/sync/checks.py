"""What `celeriac sync check` says of files with definitions."""

from __future__ import annotations

from pathlib import Path

from celeriac.core.findings import Finding, fail, ok, warn
from celeriac.families.sync.definitions import read_file
from celeriac.families.sync.errors import SyncInvalid
from celeriac.families.sync.model import FileDestination
from celeriac.families.sync.settings import SyncSettings


def check_file(path: Path, own: SyncSettings) -> Finding:
    """Report whether the definition of a file can be used, and whether the settings fit. Connect to nothing."""
    try:
        sync = read_file(path).sync
    except SyncInvalid as error:
        return fail(path.name, str(error), "correct the file")
    streams = ", ".join(stream.name for stream in sync.streams)
    if isinstance(sync.destination, FileDestination):
        return ok(path.name, f"{sync.name}: {streams} into {sync.destination.files} files")
    connection = sync.destination.connection
    if connection not in own.sync_connections:
        known = ", ".join(own.sync_connections) or "there are none"
        return warn(
            path.name,
            f"not with the settings of here: destination.connection: none is named {connection!r}: {known}",
            "a worker with these settings does not start; name it in CELERIAC_SYNC_CONNECTIONS",
        )
    return ok(path.name, f"{sync.name}: {streams} into {connection}")
