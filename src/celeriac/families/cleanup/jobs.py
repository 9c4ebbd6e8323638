"""The job that runs a policy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from celeriac.client.job import Job
from celeriac.client.standing import end_of
from celeriac.core.context import JobContext
from celeriac.core.errors import DatabaseRefused
from celeriac.core.retry import Retry
from celeriac.database.named import NamedDatabases
from celeriac.engine.app import JobApp
from celeriac.families.cleanup import locks, records
from celeriac.families.cleanup.errors import CleanupRefused
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.runs import PASSING, Runner
from celeriac.families.cleanup.settings import CleanupSettings
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

    async def forget(job_id: str) -> None:
        """A job was cancelled while it waited: give its lock back. Databases of other policies may be away."""
        asked = (await app.client.get(job_id)).arguments or {}
        policy = policies.get(str(asked.get("policy")))
        database = places.of(policy).database
        await database.write(lambda c: locks.LEASES.free(c, job_id, policy.name))
        await database.write(lambda c: records.end_lost_run(c, job_id, RunState.CANCELLED))

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
        whole = await policies.fresh(policy)
        place = places.of(whole)
        if seen not in (None, whole.digest()):
            await place.database.write(lambda c: _give_up(c, job.id, policy))
            raise CleanupRefused(_CHANGED.format(policy))
        chosen = whole.within(rows=rows, seconds=seconds)
        gates = gates_of(chosen, places.databases)
        return await Runner(chosen, place, job, gates, lambda holder: end_of(app.client, holder)).run(who)

    return run


def _give_up(connection: Connection, job_id: str, policy: str) -> None:
    """Give back what an earlier attempt of the job may have kept."""
    locks.LEASES.free(connection, job_id, policy)
    records.end_lost_run(connection, job_id, RunState.FAILED, _CHANGED.format(policy))


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
