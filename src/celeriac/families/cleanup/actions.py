"""What the API and the commands do with policies: they show, pause and resume them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from celeriac.core.errors import UnknownJob, WrongState
from celeriac.engine.app import JobApp
from celeriac.families.cleanup import dry_run, locks, records, views
from celeriac.families.cleanup.archives_tails import cut_tails
from celeriac.families.cleanup.dry_run import Preview
from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.views import PolicyState
from celeriac.families.cleanup.work import archives_of

T = TypeVar("T")


class Actions:
    """Changes to the policies' work in one application. Policies themselves come from configuration only."""

    def __init__(self, app: JobApp, policies: Policies, places: Places) -> None:
        self._app = app
        self._policies = policies
        self._places = places

    async def list(self) -> list[PolicyState]:
        """Return all policies with their states."""
        return [await self.show(policy.name) for policy in self._policies]

    async def fresh(self, name: str) -> Policy:
        """Return a policy as its file has it now.

        Raises:
            UnknownPolicy: there is none of that name.
            WrongState: its file is gone by now, or wrong.
        """
        try:
            return await self._policies.fresh(name)
        except PolicyInvalid as error:
            raise WrongState(str(error)) from None

    def policy(self, name: str) -> Policy:
        """Return a policy as it is configured.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        return self._policies.get(name)

    async def show(self, name: str) -> PolicyState:
        """Return a policy with its state.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        policy = self._policies.get(name)
        return await self._look(policy, lambda connection: views.state_of(connection, policy))

    async def dry_run(self, name: str) -> Preview:
        """Look at what a run would do now. Nothing is changed.

        Raises:
            UnknownPolicy: there is none of that name.
            CleanupRefused: a run would be refused for the same reason.
        """
        policy = await self.fresh(name)
        return await dry_run.preview(self._places.of(policy), policy, self._places.databases.get)

    async def pause(self, name: str, *, force: bool = False) -> PolicyState:
        """Pause a policy. Nothing more is committed from now on; the chunk that is under way is taken back.

        Args:
            name: of the policy.
            force: take the lock away and cancel the job as well. Use it where a worker hangs.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        holder = await self._write(name, lambda connection: locks.pause(connection, name, force=force))
        if force and holder is not None:
            with contextlib.suppress(UnknownJob, WrongState):  # it is gone, or has ended
                await self._app.client.cancel(holder)
            await self._write(name, lambda connection: records.end_lost_run(connection, holder, RunState.PAUSED))
            place = self._places.of(self._policies.get(name))
            ends = await place.database.read(lambda connection: records.ends(connection, holder))
            await cut_tails(place.archives, archives_of(name, holder), ends)  # of a worker that was killed
        return await self.show(name)

    async def free(self, name: str, holder: str) -> None:
        """Take the lock away from a job that the broker does not know any more. If it lives, it commits nothing."""

        def act(connection: Connection) -> None:
            locks.LEASES.free(connection, holder, name)
            records.end_lost_run(connection, holder, RunState.FAILED, "the broker has lost its job")

        await self._write(name, act)

    async def resume(self, name: str) -> None:
        """Allow runs again.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        await self._write(name, lambda connection: locks.resume(connection, name))

    async def _look(self, policy: Policy, function: Callable[[Connection], T]) -> T:
        return await self._places.of(policy).database.look(function)

    async def _write(self, name: str, function: Callable[[Connection], T]) -> T:
        return await self._places.of(self._policies.get(name)).database.write(function)
