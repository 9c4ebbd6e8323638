"""What the API and the commands do: they show policies, and run, pause and resume them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from celeriac.client.job import Job
from celeriac.core.errors import UnknownJob, WrongState
from celeriac.engine.app import JobApp
from celeriac.families.cleanup import dry_run, locks, records, views
from celeriac.families.cleanup.dry_run import Preview
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.views import AuditEntry, PolicyState, Run
from celeriac.families.cleanup.work import RunResult

T = TypeVar("T")


class Actions:
    """Changes to the policies' work in one application. Policies themselves come from configuration only."""

    def __init__(self, app: JobApp, job: Job[..., RunResult], policies: Policies, places: Places) -> None:
        self._app = app
        self._job = job
        self._policies = policies
        self._places = places

    async def list(self) -> list[PolicyState]:
        """Return all policies with their states."""
        return [await self.show(policy.name) for policy in self._policies]

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
        policy = self._policies.get(name)
        return await dry_run.preview(self._places.of(policy), policy)

    async def run(self, name: str, who: str) -> str:
        """Enqueue a run, and return its job's id.

        Raises:
            UnknownPolicy: there is none of that name.
            WrongState: the policy is paused, or a job works on it.
        """
        state = await self.show(name)
        if state.paused:
            raise WrongState(f"policy {name} is paused; resume it first")
        if state.holder is not None and await self._is_alive(state.holder):
            raise WrongState(f"job {state.holder} works on policy {name}")
        return (await self._job.enqueue(policy=name, who=who)).id

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
        return await self.show(name)

    async def resume(self, name: str, who: str, *, run: bool = True) -> str | None:
        """Allow runs again, and enqueue one that goes on where the last one was paused. Return its job's id.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        await self._write(name, lambda connection: locks.resume(connection, name))
        return (await self._job.enqueue(policy=name, who=who)).id if run else None

    async def runs(self, name: str, *, limit: int = 50, before: int | None = None) -> list[Run]:
        """Return a policy's runs, the newest first.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        policy = self._policies.get(name)
        return await self._look(policy, lambda connection: views.runs(connection, name, limit=limit, before=before))

    async def audit(self, name: str, run_id: str, *, limit: int = 100, after: int = 0) -> list[AuditEntry]:
        """Return the chunks of a run in their order.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        policy = self._policies.get(name)
        return await self._look(policy, lambda connection: views.audit(connection, run_id, limit=limit, after=after))

    async def _is_alive(self, job_id: str) -> bool:
        try:
            return not (await self._app.client.get(job_id)).state.finished
        except UnknownJob:
            return False

    async def _look(self, policy: Policy, function: Callable[[Connection], T]) -> T:
        return await self._places.of(policy).database.look(function)

    async def _write(self, name: str, function: Callable[[Connection], T]) -> T:
        return await self._places.of(self._policies.get(name)).database.write(function)
