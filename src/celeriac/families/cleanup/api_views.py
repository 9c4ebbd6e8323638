"""What the API and the commands show of policies, runs and the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from celeriac.core.clock import to_datetime
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.views import AuditEntry, PolicyState, Run


class RunView(BaseModel):
    """A run. It has the id of its job, which is at `/jobs/{id}`."""

    id: str
    policy: str
    kind: str = Field(description="`clean`, or `restore` for one that has put archived rows back")
    who: str = Field(description="Who has asked for it")
    state: str = Field(description="`running`, `waiting`, `done`, `budget`, `paused`, `failed` or `cancelled`")
    rows: dict[str, int] = Field(description="How many rows of each table were changed")
    error: str | None
    cutoff: datetime = Field(description="The moment from which ages are counted")
    seconds: float = Field(description="From its beginning to its end, or until now, with all that it has waited")
    started_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Show a run."""
        return cls(
            id=run.id,
            policy=run.policy,
            kind=run.kind,
            who=run.who,
            state=run.state,
            rows=run.rows,
            error=run.error,
            cutoff=to_datetime(run.cutoff),
            seconds=run.milliseconds / 1000,
            started_at=to_datetime(run.started_at),
            ended_at=to_datetime(run.ended_at),
        )


class PolicyView(BaseModel):
    """A policy, and how its work stands. What its database knows is null while that does not answer."""

    name: str
    connection: str
    table: str
    action: str
    schedule: str | None = Field(description="When it runs")
    window: str | None = Field(description="The hours in which it may run")
    paused: bool | None
    job: str | None = Field(description="The job that works on it, or did when its worker was lost")
    position: str | None = Field(description="The key of the last row that was looked at, where the next run goes on")
    last_run: RunView | None
    unavailable: str | None = Field(default=None, description="Why the database does not answer")

    @classmethod
    def of(cls, policy: Policy, state: PolicyState | None, unavailable: str | None = None, **more: Any) -> Self:
        """Show a policy. `more` are fields of a class below."""
        return cls(
            name=policy.name,
            connection=policy.connection,
            table=policy.table,
            action=policy.action,
            schedule=schedule_of(policy),
            window=None if policy.window is None else str(policy.window),
            paused=state and state.paused,
            job=state and state.holder,
            position=state and state.position,
            last_run=RunView.of(state.last_run) if state and state.last_run else None,
            unavailable=unavailable,
            **more,
        )


class PolicyWithDefinition(PolicyView):
    """A policy with all that its configuration says."""

    definition: Policy


class ResumedPolicy(PolicyView):
    """A policy that was resumed."""

    begun: str | None = Field(description="The job that goes on")


class PolicyList(BaseModel):
    """All policies, by name."""

    policies: list[PolicyView]


class RunPage(BaseModel):
    """Runs, the newest first. Only a null `next` is the end."""

    runs: list[RunView]
    next: str | None


class AuditView(BaseModel):
    """One chunk: rows that were changed together."""

    run: str
    number: int
    table: str
    action: str
    rows: int
    first_key: str = Field(description="The key of its first row, in JSON")
    last_key: str
    sql_sha256: str = Field(description="The SHA-256 of its statements, which the run names; empty for a restore")
    file: str | None = Field(description="The file of the archive that has its rows")
    file_offset: int | None = Field(description="Where in that file they begin")
    file_length: int | None
    file_sha256: str | None = Field(description="The SHA-256 of that part of the file")
    at: datetime

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Show a chunk."""
        return cls(**entry.model_dump(exclude={"at"}), at=to_datetime(entry.at))


class AuditPage(BaseModel):
    """Chunks of the newest run first, each run's in their order. Only a null `next` is the end."""

    chunks: list[AuditView]
    next: str | None


def schedule_of(policy: Policy) -> str | None:
    """Say when a policy runs; None: only when it is asked to."""
    return None if policy.schedule is None else str(policy.schedule)
