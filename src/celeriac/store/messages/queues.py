"""Reports the length of queues to people. It is slow, because it reads each message that workers hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from celeriac.core import codec
from celeriac.core.clock import to_datetime
from celeriac.core.routing import Routing
from celeriac.store import keys
from celeriac.store.messages.worker_leases import workers
from celeriac.store.redis.runner import together
from celeriac.store.scripts.script import Command

#: kombu's sets of an exchange's bindings, `<routing key><sep><pattern><sep><queue>`, and kombu's own exchanges.
_BINDINGS = "_kombu.binding."
_NO_JOBS = (".pidbox", "celeryev")
_SCAN_STEP = 10_000
_HELD = re.compile(rb"(\d{1,9}):")  # `join_entry` of `_lib.lua`: length and name of the list, then the message


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """The numbers of messages of one queue.

    Attributes:
        queue: the queue's name.
        ready: messages that wait for a worker.
        delayed: messages that are not due yet.
        held: messages that workers hold, including those of running jobs.
        oldest: when the ready job that has waited longest was enqueued. None: no job is ready, or it has no record.
    """

    queue: str
    ready: int
    delayed: int
    held: int
    oldest: datetime | None


async def depths(client: Redis, routing: Routing, known: Iterable[str]) -> list[QueueDepth]:
    """Return all queues that have messages or that a worker has declared, and the `known` ones, by name."""
    held = await _held(client, routing)
    names = {routing.default_queue, *known, *held, *await _declared(client, routing), *await _delayed(client)}
    return [await _depth(client, routing, name, held[name]) for name in sorted(names)]


async def _depth(client: Redis, routing: Routing, queue: str, held: int) -> QueueDepth:
    lists = [routing.list_key(queue, step) for step in routing.steps]
    of_lists: list[Command] = [asked for key in lists for asked in (("LLEN", key), ("LINDEX", key, -1))]
    delayed, *replies = await together(client, [("ZCARD", keys.delayed(queue)), *of_lists])
    oldest = [await _enqueued(client, message) for message in replies[1::2] if message is not None]
    return QueueDepth(
        queue=queue,
        ready=sum(replies[::2]),
        delayed=delayed,
        held=held,
        oldest=min((moment for moment in oldest if moment is not None), default=None),
    )


async def _enqueued(client: Redis, message: bytes) -> datetime | None:
    try:
        job_id = str(codec.loads(message)["headers"]["id"])
    except (ValueError, TypeError, KeyError):
        return None
    created: bytes | None = await _commands(client).hget(keys.record(job_id), "created")
    return None if created is None else to_datetime(int(created))


async def _held(client: Redis, routing: Routing) -> Counter[str]:
    """Count the messages of each queue that workers hold."""
    counts = Counter[str]()
    for worker in await workers(client):
        entries: list[bytes] = await _commands(client).hvals(keys.held(worker))
        for entry in entries:
            if start := _HELD.match(entry):
                list_key = entry[start.end() : start.end() + int(start[1])].decode(errors="replace")
                counts[list_key.partition(routing.separator)[0]] += 1
    return counts


async def _declared(client: Redis, routing: Routing) -> set[str]:
    names = set[str]()
    async for key in _commands(client).scan_iter(match=f"{_BINDINGS}*", count=_SCAN_STEP):
        if not key.decode(errors="replace").endswith(_NO_JOBS):
            members: set[bytes] = await _commands(client).smembers(key)
            names |= {member.decode(errors="replace").rpartition(routing.separator)[2] for member in members}
    return names


async def _delayed(client: Redis) -> set[str]:
    prefix = keys.delayed("")
    return {
        key.decode(errors="replace").removeprefix(prefix)
        async for key in _commands(client).scan_iter(match=f"{prefix}*", count=_SCAN_STEP)
    }


def _commands(client: Redis) -> Any:
    return client  # redis-py's types are unions over every protocol and decoding option
