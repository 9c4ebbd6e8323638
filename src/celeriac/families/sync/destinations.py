"""Finds the database or the files that a sync writes to."""

from __future__ import annotations

from collections.abc import Callable

from celeriac.core.context import JobContext
from celeriac.database.engine import Database
from celeriac.database.leases import Lease
from celeriac.database.named import NamedDatabases
from celeriac.families.sync.destination.database import DatabaseWriter
from celeriac.families.sync.destination.files import FileWriter, ListFiles
from celeriac.families.sync.destination.table import SqlTable
from celeriac.families.sync.destination.writer import Writer
from celeriac.families.sync.model import FileDestination, Mode, Stream, Sync


class Destinations:
    """The destinations of one application."""

    def __init__(self, connections: NamedDatabases, own: Callable[[], Database], list_files: ListFiles) -> None:
        """`own` opens the application's database: the state of syncs into files is there.

        `list_files` returns the names of a job's files.
        """
        self._connections = connections
        self._own = own
        self._list_files = list_files

    def database(self, sync: Sync) -> Database:
        """Return the database that keeps the state of a sync: the one with its rows.

        Raises:
            UnknownConnection: the setting names none.
        """
        if isinstance(sync.destination, FileDestination):
            return self._own()
        return self._connections.get(sync.destination.connection)

    def writer(self, sync: Sync, stream: Stream, held: Lease, job: JobContext) -> Writer:
        """Return what writes the rows of a stream."""
        destination = sync.destination
        if isinstance(destination, FileDestination):
            return FileWriter(job, destination, stream, self._list_files)
        table = self.table(sync, stream)
        return DatabaseWriter(self.database(sync), held, table, stream, stream.primary_key)

    def table(self, sync: Sync, stream: Stream) -> SqlTable:
        """Return the table of a stream."""
        destination = sync.destination
        assert not isinstance(destination, FileDestination)
        name = f"{destination.table_prefix}{stream.table_name}"
        return SqlTable(name, destination.database_schema, has_key=stream.mode is not Mode.APPEND)
