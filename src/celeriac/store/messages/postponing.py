"""The script call that gives back the message of a job that runs, to be run again later."""

from __future__ import annotations

from typing import NamedTuple

from celeriac.core.clock import now_ms
from celeriac.core.records import Failure
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import payloads
from celeriac.store.jobs.transitions import open_life_ms
from celeriac.store.scripts.script import Script, ScriptCall


class _Postpone(NamedTuple):
    now_ms: int
    life_ms: int
    receipt: str
    due_ms: int
    failure: bytes
    event: bytes
    records: str


_POSTPONE = Script("postpone", _Postpone, when_full=True)


def postpone(
    worker: str, receipt: str, queue: str, job_id: str, *, seconds: float, reason: Failure
) -> ScriptCall[bool]:
    """Give a message back, and record that its job waits. Reply False if the worker did not hold it any more."""
    now = now_ms()
    due = now + max(0, round(1000 * seconds))
    args = _Postpone(
        now_ms=now,
        life_ms=open_life_ms(now, due),
        receipt=receipt,
        due_ms=due,
        failure=payloads.failure(reason),
        event=payloads.state_event(JobState.RETRYING, error=reason, delay_until=due),
        records=keys.record(""),
    )
    script_keys = [keys.held(worker), keys.delayed(queue), keys.record(job_id), keys.events(job_id)]
    return ScriptCall(_POSTPONE, script_keys, args, bool)
