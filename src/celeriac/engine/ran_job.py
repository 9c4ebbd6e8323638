"""The outcome of a job that ran in the test's own process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from celeriac.core.records import JobEvent, JobRecord, Progress
from celeriac.core.spec import Call
from celeriac.engine.runs import Run


@dataclass(kw_only=True, eq=False)
class RanJob:
    """A job that ran in process, with its outcome.

    Attributes:
        record: the record that a worker's job would have.
        result: what the job returned, as JSON types.
        error: what its last attempt raised.
        retry_delays: how long it would have waited before each further attempt (s).
        progress: each progress that it reported.
        children: the jobs that it fanned out to.
        artifacts: the content of each file that it made, by name.
    """

    record: JobRecord
    result: Any = None
    error: BaseException | None = None
    retry_delays: list[float] = field(default_factory=list[float])
    progress: list[Progress] = field(default_factory=list[Progress])
    children: list[RanJob] = field(default_factory=list["RanJob"])
    artifacts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    call: Call[Any] = field(repr=False)
    key: str | None = field(default=None, repr=False)
    request: str = field(default="", repr=False)
    events: list[JobEvent] = field(default_factory=list[JobEvent], repr=False)
    run: Run | None = field(default=None, repr=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def tell(self, name: str, data: dict[str, Any]) -> None:
        """Record an event."""
        self.events.append(JobEvent(f"{len(self.events) + 1}-0", name, data))


def place(event_id: str) -> int:
    """Return the position of an event among those of its job, from 1."""
    return int(event_id.partition("-")[0])
