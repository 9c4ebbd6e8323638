"""Enqueues what callers ask for: runs, dry runs and restores."""

from __future__ import annotations

from celeriac.client.job import Job
from celeriac.client.options import EnqueueOptions
from celeriac.core.errors import JobExists, UnknownJob, WrongState
from celeriac.core.records import JobRecord
from celeriac.core.spec import Call
from celeriac.engine.app import JobApp
from celeriac.families.cleanup.actions import Actions
from celeriac.families.cleanup.dry_run import Preview
from celeriac.families.cleanup.errors import BudgetInvalid
from celeriac.families.cleanup.forms import RestoreForm, ResumeForm, RunForm
from celeriac.families.cleanup.policy import Budget, Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.restoring import RestoreResult
from celeriac.families.cleanup.views import PolicyState
from celeriac.families.cleanup.work import RunResult


class Submissions:
    """What callers of the API and of the commands may enqueue. The audit has `who` asked for it."""

    def __init__(
        self,
        app: JobApp,
        actions: Actions,
        *,
        run: Job[..., RunResult],
        look: Job[..., Preview],
        restore: Job[..., RestoreResult],
    ) -> None:
        self._app = app
        self._actions = actions
        self._run = run
        self._look = look
        self._restore = restore

    async def dry_run(self, name: str, *, key: str | None = None) -> JobRecord:
        """Enqueue the job that looks at what a run would do.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        policy = self._actions.policy(name)
        return await self._app.client.submit(self._look.call(policy=policy.name), EnqueueOptions(idempotency_key=key))

    async def run(self, name: str, form: RunForm, *, who: str, key: str | None = None) -> JobRecord:
        """Enqueue a run, or return the one to which the idempotency key belongs.

        Raises:
            UnknownPolicy: there is none of that name.
            BudgetInvalid: it asks for more than the policy allows.
            WrongState: it is paused, a job works on it, or its file is wrong by now. The message says which.
        """
        policy = await self._actions.fresh(name)
        _check_budget(form, policy.budget)
        budget = {"rows": form.rows, "seconds": form.seconds, "seen": policy.digest()}
        call = self._run.call(policy=policy.name, who=who, **{k: v for k, v in budget.items() if v is not None})
        state = await self._actions.show(name)
        if state.paused:
            raise WrongState(f"policy {name} is paused; resume it first")
        if (running := await self._running(state)) is not None:
            return await self._known(call, key, running, policy)
        return await self._app.client.submit(call, EnqueueOptions(idempotency_key=key))

    async def put_back(self, form: RestoreForm, *, who: str, key: str | None = None) -> JobRecord:
        """Enqueue the job that puts archived rows back.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        self._actions.policy(form.policy)
        return await self._app.client.submit(
            self._restore.call(asked=form, who=who), EnqueueOptions(idempotency_key=key)
        )

    async def resume(self, name: str, form: ResumeForm, *, who: str) -> JobRecord | None:
        """Allow runs again. Return the job of a run that was begun.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        before = await self._actions.show(name)
        await self._actions.resume(name)
        was_stopped = before.last_run is not None and before.last_run.state == RunState.PAUSED
        if not (before.paused and was_stopped if form.run is None else form.run):
            return None
        return await self.run(name, RunForm(), who=who)

    async def _known(self, call: Call[RunResult], key: str | None, running: str, policy: Policy) -> JobRecord:
        """Return the job to which the key belongs, although one is running.

        The id of that one is taken, so that the broker accepts no new job for a key that it does not know.
        """
        if key is not None:
            try:
                return await self._app.client.submit(call, EnqueueOptions(idempotency_key=key, job_id=running))
            except JobExists:
                pass
        raise WrongState(f"job {running} works on policy {policy.name}")

    async def _running(self, state: PolicyState) -> str | None:
        """Return the job that works on the policy. One that the broker has lost will not go on: its lock is free."""
        if state.holder is None:
            return None
        try:
            is_over = (await self._app.client.get(state.holder)).state.finished
        except UnknownJob:
            await self._actions.free(state.name, state.holder)
            return None
        return None if is_over else state.holder


def _check_budget(form: RunForm, budget: Budget) -> None:
    for name, asked, allowed in (("rows", form.rows, budget.rows), ("seconds", form.seconds, budget.seconds)):
        if asked is not None and allowed is not None and asked > allowed:
            raise BudgetInvalid(f"{name}: the policy allows {allowed:g}, and {asked:g} were asked for")
