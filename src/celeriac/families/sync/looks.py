"""What the API and the commands show of syncs: their runs, their state, and what was rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from celeriac.client.standing import has_ended
from celeriac.core.errors import BrokerUnavailable, UnknownJob
from celeriac.database.anywhere import find_anywhere
from celeriac.database.engine import Database
from celeriac.database.leases import Busy
from celeriac.families.sync.definitions import Definition
from celeriac.families.sync.errors import UnknownRun
from celeriac.families.sync.history import Reject, Run, find_run, list_rejects, list_runs
from celeriac.families.sync.jobs import RUN
from celeriac.families.sync.schedules import schedules_of
from celeriac.families.sync.states import State, all_of
from celeriac.families.sync.tables import LEASES

if TYPE_CHECKING:
    from celeriac.families.sync import SyncFamily

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Overview:
    """A sync with its last run, and the job that runs it now, if any."""

    definition: Definition
    schedules: Sequence[str]
    last_run: Run | None
    running: str | None


class Looks:
    """Looks at the syncs of one application, and changes nothing."""

    def __init__(self, family: SyncFamily) -> None:
        self._family = family
        self.app = family.host.app

    def all(self) -> list[Definition]:
        """Return the syncs that are defined, by name."""
        return list(self._family.definitions)

    def get(self, name: str) -> Definition:
        """Return a definition.

        Raises:
            UnknownSync: there is none of that name.
        """
        return self._family.definitions.get(name)

    def schedules(self, name: str) -> list[str]:
        """Return when beat runs a sync."""
        return schedules_of(self.app, name)

    async def overview(self, name: str) -> Overview:
        """Return a sync with its last run, and the job that runs it now.

        Raises:
            UnknownSync: there is none of that name.
        """
        definition = self.get(name)

        def look(connection: Connection) -> tuple[list[Run], Busy | None]:
            return list_runs(connection, name, 1), LEASES.holder(connection, name)

        last, holder = await self.ask(definition, look, nothing=([], None))
        running = holder.holder if holder is not None and await self.is_alive(holder.holder) else None
        return Overview(definition, self.schedules(name), last[0] if last else None, running)

    async def runs(
        self, name: str, *, after: tuple[int, str] | None = None, limit: int
    ) -> tuple[list[Run], tuple[int, str] | None]:
        """Return a page of runs, the newest first, and where the next page begins."""
        found = await self.ask(self.get(name), lambda c: list_runs(c, name, limit + 1, after), nothing=[])
        page = found[:limit]
        return page, (page[-1].started_at, page[-1].id) if len(found) > limit else None

    async def run_of(self, run_id: str) -> Run:
        """Return a run. All databases are asked at once, as any of them may have it.

        Raises:
            UnknownRun: there is none with that id.
            DatabaseUnavailable: none was found, and a database did not answer.
        """
        look = partial(find_run, run=run_id)
        places = {self.database(one): one for one in self.all()}
        lookups = [self.ask(one, look, nothing=None) for one in places.values()]
        found = await find_anywhere(lookups, self._is_of_another_job(run_id))
        if found is None:
            raise UnknownRun(f"no run with id {run_id[:128]!r} is known")
        return found

    async def _is_of_another_job(self, run_id: str) -> bool:
        """Return whether the broker knows that this is the id of a job that is no run.

        What it knows of a run does not say where it is: its sync may have another name or another database by now.
        """
        try:
            return (await self.app.client.get(run_id)).task != RUN
        except (UnknownJob, BrokerUnavailable):  # its record is gone, or cannot be read
            return False

    async def state(self, name: str) -> dict[str, State]:
        """Return how far the streams of a sync are: those that have been read, or begun."""
        return await self.ask(self.get(name), lambda connection: all_of(connection, name), nothing={})

    async def rejects(
        self, name: str, *, stream: str | None = None, run: str | None = None, after: int | None = None, limit: int
    ) -> tuple[list[Reject], int | None]:
        """Return a page of rejected records, the newest first, and where the next page begins."""

        def look(connection: Connection) -> list[Reject]:
            return list_rejects(connection, name, stream=stream, run=run, after=after, limit=limit + 1)

        found = await self.ask(self.get(name), look, nothing=[])
        page = found[:limit]
        return page, page[-1].number if len(found) > limit else None

    async def is_alive(self, job_id: str) -> bool:
        """Return whether a job that has a lock may still go on. One that was cancelled while it waited has kept it."""
        return not await has_ended(self.app.client, job_id)

    def database(self, definition: Definition) -> Database:
        """Return the database that has the state of a sync."""
        return self._family.destinations.database(definition.sync)

    async def ask(self, definition: Definition, function: Callable[[Connection], T], *, nothing: T) -> T:
        """Query the database that has the state of a sync. Before its first run there are no tables: then `nothing`.

        Raises:
            DatabaseUnavailable: it cannot be reached.
        """
        database = self.database(definition)
        return await database.read(function) if await database.has_tables() else nothing
