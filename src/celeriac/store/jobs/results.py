"""Stores outcomes of jobs at Celery's keys and in Celery's format, for clients of the result store.

If the broker is the result store, scripts write outcomes together with records. Else this module writes them, just
before or after the record. For tasks without a record, this module always does so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis

from celeriac.core import codec
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.runner import atomically
from celeriac.store.scripts.script import Script, ScriptCall


class _StorePlain(NamedTuple):
    receipt: str
    outcome: bytes
    life_s: int


_STORE_PLAIN = Script("store_plain_result", _StorePlain, when_full=True)


def store_plain_result(key: str, outcome: bytes, *, life_s: int, receipt: str) -> ScriptCall[bool]:
    """Store an outcome at Celery's `key` for `life_s` seconds (0: for ever), and notify its waiters.

    Reply False if another worker has got the message that was held under `receipt` (empty for none).
    """
    return ScriptCall(
        _STORE_PLAIN, [keys.VOID, key], _StorePlain(receipt=receipt, outcome=outcome, life_s=life_s), bool
    )


def is_void(broker: BlockingClient, receipt: str) -> bool:
    """Return whether another worker has got the message that was held under `receipt`."""
    return _commands(broker).zscore(keys.VOID, receipt) is not None


def worker_of(broker: BlockingClient, job_id: str) -> str | None:
    """Return the worker that runs a job, as its record says; None if none does."""
    state, worker = _commands(broker).hmget(keys.record(job_id), "state", "worker")
    return (worker or b"").decode() if state == JobState.RUNNING.encode() else None


async def get_outcome(client: Redis, job_id: str) -> dict[str, Any] | None:
    """Read the outcome in Celery's format (`status`, `result`, ...). Return None if none is stored."""
    raw: bytes | None = await _commands(client).get(keys.result(job_id))
    return codec.loads(raw) if raw else None


async def put_outcome(client: Redis, job_id: str, outcome: bytes, life_ms: int) -> None:
    """Store an outcome, and notify its waiters."""
    key = keys.result(job_id)
    await atomically(client, [("SET", key, outcome, "PX", life_ms), ("PUBLISH", key, outcome)])


async def drop_outcome(client: Redis, job_id: str) -> None:
    """Delete an outcome, because the job will run again."""
    await _commands(client).delete(keys.result(job_id))


def _commands(client: Redis | BlockingClient) -> Any:
    return client  # redis-py's types are unions over every protocol and decoding option
