"""What the API and the commands do with syncs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from celeriac.client.options import EnqueueOptions
from celeriac.core.errors import BrokerUnavailable, JobExists, UnknownJob
from celeriac.core.ids import new_id
from celeriac.core.limits import Limit
from celeriac.core.records import JobRecord
from celeriac.core.spec import Call
from celeriac.database.anywhere import find_anywhere
from celeriac.database.engine import Database
from celeriac.database.leases import Busy
from celeriac.families.sync.definitions import Definition
from celeriac.families.sync.dry_run import DryRunOutcome, dry_run
from celeriac.families.sync.errors import SyncBusy, UnknownRun
from celeriac.families.sync.forms import RunForm, StreamsForm
from celeriac.families.sync.history import Reject, Run, find_run, forget_rejects, list_rejects, list_runs
from celeriac.families.sync.http.budget import host_limit, host_of
from celeriac.families.sync.http.model import HttpSource
from celeriac.families.sync.jobs import RUN
from celeriac.families.sync.running import chosen_streams
from celeriac.families.sync.schedules import schedules_of
from celeriac.families.sync.states import State, all_of, forget
from celeriac.families.sync.tables import LEASES
from celeriac.families.sync.views import HostView

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


class Actions:
    """Looks at the syncs of one application, runs them, and resets them."""

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

        last, holder = await self._ask(definition, look, nothing=([], None))
        running = holder.holder if holder is not None and await self._is_alive(holder.holder) else None
        return Overview(definition, self.schedules(name), last[0] if last else None, running)

    async def run(self, name: str, form: RunForm, *, key: str | None = None) -> JobRecord:
        """Enqueue a run, and return its job, or the one that has the idempotency key.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
            SyncBusy: a job runs it.
        """
        definition = self.get(name)
        chosen_streams(definition.sync, form.streams)
        call = self._family.job.call(sync=name, streams=form.streams, full=form.full)
        holder = await self._ask(definition, lambda connection: LEASES.holder(connection, name), nothing=None)
        if holder is None:
            return await self._submit(call, key)
        if await self._is_alive(holder.holder):
            return await self._submitted(call, key, name, holder.holder)
        await self._free(definition, holder)
        return await self._submit(call, key)

    async def look(self, name: str, form: StreamsForm) -> DryRunOutcome:
        """Ask the source for the first page of each stream, from this process. Nothing is written.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
            SourceFailed, SourceUnavailable: it does not give its first page.
        """
        definition, runner = self.get(name), self._family.runner
        return await dry_run(definition, runner.destinations, runner.source(definition), form.streams)

    async def dry_run(self, name: str, form: StreamsForm, *, key: str | None = None) -> JobRecord:
        """Enqueue a dry run, and return its job. Its result is a `DryRunOutcome`.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
        """
        chosen_streams(self.get(name).sync, form.streams)
        return await self._submit(self._family.dry_run_job.call(sync=name, streams=form.streams), key)

    async def runs(
        self, name: str, *, after: tuple[int, str] | None = None, limit: int
    ) -> tuple[list[Run], tuple[int, str] | None]:
        """Return a page of runs, the newest first, and where the next page begins."""
        found = await self._ask(self.get(name), lambda c: list_runs(c, name, limit + 1, after), nothing=[])
        page = found[:limit]
        return page, (page[-1].started_at, page[-1].id) if len(found) > limit else None

    async def run_of(self, run_id: str) -> Run:
        """Return a run. All databases are asked at once, as any of them may have it.

        Raises:
            UnknownRun: there is none with that id.
            DatabaseUnavailable: none was found, and a database that may have it did not answer.
        """
        look = partial(find_run, run=run_id)
        places = {self._database(one): one for one in self.all()}
        lookups = {database: self._ask(one, look, nothing=None) for database, one in places.items()}
        found = await find_anywhere(lookups, self._homes_of(run_id))
        if found is None:
            raise UnknownRun(f"no run with id {run_id[:128]!r} is known")
        return found

    async def _homes_of(self, run_id: str) -> list[Database]:
        """Return the databases that may have a run, by what the broker knows of its job."""
        syncs = self.all()
        try:
            job = await self.app.client.get(run_id)
        except (UnknownJob, BrokerUnavailable):  # its record is gone, or cannot be read: the run may be anywhere
            return [self._database(one) for one in syncs]
        if job.task != RUN:
            return []
        return [self._database(one) for one in syncs if one.sync.name == (job.arguments or {}).get("sync")]

    async def host(self, name: str) -> HostView:
        """Return for how long the host of a sync's API has asked to be left alone.

        Raises:
            UnknownSync: there is no such sync.
        """
        return await self._host(name, self.app.limits.closed)

    async def reopen_host(self, name: str) -> HostView:
        """End that time, for all syncs of the host. Return how long it would have been.

        A run that waits looks again within five minutes.

        Raises:
            UnknownSync: there is no such sync.
        """
        return await self._host(name, self.app.limits.reopen)

    async def _host(self, name: str, ask: Callable[[Sequence[Limit]], Awaitable[dict[str, float]]]) -> HostView:
        source = self.get(name).sync.source
        if not isinstance(source, HttpSource):
            return HostView(host=None, closed_seconds=0)
        limit = host_limit(source.url)
        return HostView(host=host_of(source.url), closed_seconds=(await ask([limit])).get(limit.name, 0))

    async def state(self, name: str) -> dict[str, State]:
        """Return how far the streams of a sync are: those that have been read, or begun."""
        return await self._ask(self.get(name), lambda connection: all_of(connection, name), nothing={})

    async def reset(self, name: str, form: StreamsForm) -> list[str]:
        """Have streams read from the beginning again, and forget their rejected records. Return their names.

        Rows stay: the next run replaces them.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
            SyncBusy: a job runs it.
        """
        definition = self.get(name)
        streams = [stream.name for stream in chosen_streams(definition.sync, form.streams)]

        def forget_all(connection: Connection) -> Busy | None:
            held = LEASES.take(connection, name, f"reset-{new_id()}")
            if isinstance(held, Busy):
                return held
            forget(connection, name, streams)
            forget_rejects(connection, name, streams)
            held.release(connection)
            return None

        busy = await self._change(definition, forget_all)
        if busy is not None and not await self._is_alive(busy.holder):
            await self._free(definition, busy)
            busy = await self._change(definition, forget_all)
        if busy is not None:
            raise SyncBusy(name, busy.holder)
        return streams

    async def rejects(
        self, name: str, *, stream: str | None = None, run: str | None = None, after: int | None = None, limit: int
    ) -> tuple[list[Reject], int | None]:
        """Return a page of rejected records, the newest first, and where the next page begins."""

        def look(connection: Connection) -> list[Reject]:
            return list_rejects(connection, name, stream=stream, run=run, after=after, limit=limit + 1)

        found = await self._ask(self.get(name), look, nothing=[])
        page = found[:limit]
        return page, page[-1].number if len(found) > limit else None

    async def _submit(self, call: Call[Any], key: str | None) -> JobRecord:
        return await self.app.client.submit(call, EnqueueOptions(idempotency_key=key))

    async def _submitted(self, call: Call[Any], key: str | None, name: str, holder: str) -> JobRecord:
        """Return the job that the key was given to before. While `holder` has the id, no other one is accepted.

        Raises:
            SyncBusy: the key is a new one, or there is none.
        """
        if key is None:
            raise SyncBusy(name, holder)
        try:
            return await self.app.client.submit(call, EnqueueOptions(idempotency_key=key, job_id=holder))
        except JobExists:
            raise SyncBusy(name, holder) from None

    async def _free(self, definition: Definition, kept: Busy) -> None:
        await self._change(definition, lambda c: LEASES.free(c, kept.holder, definition.sync.name))

    async def _is_alive(self, job_id: str) -> bool:
        """Return whether a job that has a lock may still go on. One that was cancelled while it waited has kept it."""
        try:
            return not (await self.app.client.get(job_id)).state.finished
        except UnknownJob:
            return False

    def _database(self, definition: Definition) -> Database:
        return self._family.destinations.database(definition.sync)

    async def _ask(self, definition: Definition, function: Callable[[Connection], T], *, nothing: T) -> T:
        """Query the database that has the state of a sync. Before its first run there are no tables: then `nothing`.

        Raises:
            DatabaseUnavailable: it cannot be reached.
        """
        database = self._database(definition)
        return await database.read(function) if await database.has_tables() else nothing

    async def _change(self, definition: Definition, function: Callable[[Connection], T]) -> T:
        """Change the state of a sync. Raises as `_ask`."""
        return await self._database(definition).write(function)
