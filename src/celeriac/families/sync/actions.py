"""What the API and the commands do with syncs: they run and reset them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from celeriac.client.options import EnqueueOptions
from celeriac.client.standing import will_not_go_on
from celeriac.core.errors import JobExists, WrongState
from celeriac.core.ids import new_id
from celeriac.core.records import JobRecord
from celeriac.core.spec import Call
from celeriac.database.leases import Busy
from celeriac.families.sync.definitions import Definition
from celeriac.families.sync.dry_run import DryRunOutcome, dry_run
from celeriac.families.sync.errors import SyncBusy, SyncInvalid
from celeriac.families.sync.forms import RunForm, StreamsForm
from celeriac.families.sync.history import end_lost_run, forget_rejects
from celeriac.families.sync.running import chosen_streams
from celeriac.families.sync.states import forget
from celeriac.families.sync.tables import LEASES

if TYPE_CHECKING:
    from celeriac.families.sync import SyncFamily

T = TypeVar("T")


class Actions:
    """Runs the syncs of one application, and resets them."""

    def __init__(self, family: SyncFamily) -> None:
        self._family = family
        self._looks = family.looks
        self.app = family.host.app

    async def run(self, name: str, form: RunForm, *, key: str | None = None) -> JobRecord:
        """Enqueue a run, and return its job, or the one that has the idempotency key.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
            SyncBusy: a job runs it.
        """
        definition = await self._fresh(name)
        chosen_streams(definition.sync, form.streams)
        call = self._family.job.call(sync=name, streams=form.streams, full=form.full, seen=definition.sync.digest())
        holder = await self._looks.ask(definition, lambda connection: LEASES.holder(connection, name), nothing=None)
        if holder is None:
            return await self._submit(call, key)
        if not await will_not_go_on(self.app.client, holder.holder):
            return await self._submitted(call, key, name, holder.holder)
        await self._free(definition, holder)
        return await self._submit(call, key)

    async def look(self, name: str, form: StreamsForm) -> DryRunOutcome:
        """Ask the source for the first page of each stream, from this process. Nothing is written.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
            SourceFailed, SourceUnavailable: it does not give its first page.
        """
        definition, runner = await self._fresh(name), self._family.runner
        return await dry_run(definition, runner.destinations, runner.source(definition), form.streams)

    async def dry_run(self, name: str, form: StreamsForm, *, key: str | None = None) -> JobRecord:
        """Enqueue a dry run, and return its job. Its result is a `DryRunOutcome`.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
        """
        definition = await self._fresh(name)
        chosen_streams(definition.sync, form.streams)
        return await self._submit(self._family.dry_run_job.call(sync=name, streams=form.streams), key)

    async def reset(self, name: str, form: StreamsForm) -> list[str]:
        """Have streams read from the beginning again, and forget their rejected records. Return their names.

        Rows stay: the next run replaces them.

        Raises:
            UnknownSync: there is no such sync, or no such stream.
            SyncBusy: a job runs it.
        """
        definition = self._looks.get(name)
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
        if busy is not None and await will_not_go_on(self.app.client, busy.holder):
            await self._free(definition, busy)
            busy = await self._change(definition, forget_all)
        if busy is not None:
            raise SyncBusy(name, busy.holder)
        return streams

    async def _fresh(self, name: str) -> Definition:
        """Return a definition as its file has it now.

        Raises:
            UnknownSync: there is none of that name.
            WrongState: its file is gone by now, or wrong.
        """
        try:
            return await self._family.definitions.fresh(name)
        except SyncInvalid as error:
            raise WrongState(str(error)) from None

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
        """Take the lock away from a job that will not go on. If its worker lives, it commits nothing."""

        def act(connection: Connection) -> None:
            LEASES.free(connection, kept.holder, definition.sync.name)
            end_lost_run(connection, kept.holder, "its job has ended, or the broker has lost it")

        await self._change(definition, act)

    async def _change(self, definition: Definition, function: Callable[[Connection], T]) -> T:
        """
        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        return await self._looks.database(definition).write(function)
