"""The job that runs a policy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from celeriac.client.job import Job
from celeriac.client.standing import end_of
from celeriac.core.context import JobContext
from celeriac.core.errors import DatabaseRefused
from celeriac.core.retry import Retry
from celeriac.database.named import NamedDatabases
from celeriac.engine.app import JobApp
from celeriac.families.cleanup.errors import CleanupRefused, UnknownPolicy
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.runs import LONGEST_ERROR, PASSING, Runner
from celeriac.families.cleanup.settings import CleanupSettings
from celeriac.families.cleanup.settling import settle
from celeriac.families.cleanup.throttles import Throttling
from celeriac.families.cleanup.work import Gate, RunResult

RUN = "celeriac.cleanup.run"
#: A database that is away for a night is no reason to give up.
_RETRY = Retry(attempts=200, backoff=1.0, max_delay=300.0, on=PASSING, never=(DatabaseRefused,))

_CHANGED = (
    "policy {}: the worker has another definition of it than whoever asked for this run, so nothing was changed: "
    "give the same file to API, commands and workers, look at a dry run, and ask again"
)


def register(app: JobApp, policies: Policies, places: Places, settings: CleanupSettings) -> Job[..., RunResult]:
    """Add the job to `app`."""

    def homes(policy: str) -> Collection[str]:
        """Return the connections that may have a lock of the policy."""
        try:
            return [policies.get(policy).connection]
        except UnknownPolicy:
            return list(places.databases)

    async def forget(job_id: str) -> None:
        """A job was cancelled while it waited."""
        asked = (await app.client.get(job_id)).arguments or {}
        await settle(places.databases, homes(str(asked.get("policy"))), job_id, RunState.CANCELLED)

    @app.job(name=RUN, retry=_RETRY, exposed=False, queue=settings.cleanup_queue, on_cancelled=forget)
    async def run(
        job: JobContext,
        policy: str,
        who: str = "schedule",
        rows: int | None = None,
        seconds: float | None = None,
        seen: str | None = None,
    ) -> RunResult:
        """Run a policy, or go on with the run of this job. It ends earlier if `rows` or `seconds` are given.

        `seen` is the digest of the policy as whoever asks has seen it. A schedule takes the policy as it is.
        """
        before = homes(policy)
        try:
            whole = await policies.fresh(policy)
            if seen not in (None, whole.digest()):
                raise CleanupRefused(_CHANGED.format(policy))
        except (CleanupRefused, UnknownPolicy) as error:
            says = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
            await settle(places.databases, {*before, *homes(policy)}, job.id, RunState.FAILED, says)
            raise
        chosen = whole.within(rows=rows, seconds=seconds)
        gates = gates_of(chosen, places.databases)
        return await Runner(chosen, places.of(whole), job, gates, lambda holder: end_of(app.client, holder)).run(who)

    return run


def gates_of(policy: Policy, databases: NamedDatabases) -> Sequence[Gate]:
    """Return what a run asks before each transaction."""
    gates: list[Gate] = []
    if (window := policy.window) is not None:

        async def look() -> Hold | None:
            return window.hold(datetime.now(UTC))

        gates.append(look)
    if policy.throttles:
        gates.append(Throttling(policy.throttles, databases.get(policy.connection), databases.get))
    return gates
