"""Outcomes of jobs, at Celery's keys and in Celery's format, for clients of the server that keeps results.

Where that is the broker, scripts write outcomes together with records; else they are written here, before what they
are the outcome of is recorded, or right after. Tasks without a record have their outcomes kept here in any case.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis

from celeriac.core import codec
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.scripts.script import Script, ScriptCall


class _StorePlain(NamedTuple):
    receipt: str
    outcome: bytes
    life: int


_STORE_PLAIN = Script("store_plain_result", _StorePlain, when_full=True)


def store_plain_result(key: str, outcome: bytes, *, life: int, receipt: str) -> ScriptCall[bool]:
    """Store an outcome at Celery's `key` for `life` seconds (0: for ever), and tell those who wait for it.

    False if the message that was held under `receipt` (empty for none) has been given to another worker.
    """
    return ScriptCall(_STORE_PLAIN, [keys.VOID, key], _StorePlain(receipt=receipt, outcome=outcome, life=life), bool)


def is_void(broker: BlockingClient, receipt: str) -> bool:
    """Whether the message that was held under `receipt` has been given to another worker."""
    return _commands(broker).zscore(keys.VOID, receipt) is not None


def worker_of(broker: BlockingClient, job_id: str) -> str | None:
    """The worker that runs a job, as its record says; None if none does."""
    state, worker = _commands(broker).hmget(keys.record(job_id), "state", "worker")
    return (worker or b"").decode() if state == JobState.RUNNING.encode() else None


async def get_outcome(client: Redis, job_id: str) -> dict[str, Any] | None:
    """The outcome in Celery's format (`status`, `result`, ...), or None if none is stored."""
    raw: bytes | None = await _commands(client).get(keys.result(job_id))
    return codec.loads(raw) if raw else None


async def put_outcome(client: Redis, job_id: str, outcome: bytes, life_ms: int) -> None:
    """Store an outcome, and tell those who wait for it."""
    key = keys.result(job_id)
    await _commands(client).pipeline().set(key, outcome, px=life_ms).publish(key, outcome).execute()


async def drop_outcome(client: Redis, job_id: str) -> None:
    """Forget an outcome: the job is to be run again."""
    await _commands(client).delete(keys.result(job_id))


def _commands(client: Redis | BlockingClient) -> Any:
    return client  # redis-py's types are unions over every protocol and decoding option
