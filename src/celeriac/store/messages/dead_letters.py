"""Dead letters: messages that were given up, with the cause. They stay until someone replays or drops them.

They are entries of a stream. An id says when its letter was given up, and stays valid when others are removed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from redis.asyncio import Redis

from celeriac.core import codec
from celeriac.core.checks import name_of
from celeriac.core.clock import to_datetime
from celeriac.core.errors import WrongState
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import enqueueing
from celeriac.store.jobs.transitions import Shared, Transition, TransitionRow, shared
from celeriac.store.messages.deliveries import PlainResult, PlainResultRow
from celeriac.store.redis.runner import run
from celeriac.store.scripts.script import Argument, Script, ScriptCall

log = logging.getLogger("celeriac.store")


class _GiveUp(NamedTuple):
    receipt: str
    cause: str
    kind: str


class _Replay(NamedTuple):
    letter: str
    message: bytes


class _Adopt(NamedTuple):
    cause: str


_GIVE_UP = Script(
    "give_up",
    _GiveUp,
    {"shared": Shared, "transition": TransitionRow, "plain_result": PlainResultRow},
    when_full=True,
)
_REPLAY = Script("replay", _Replay, when_full=True)
_ADOPT = Script("adopt_unreadable", _Adopt, when_full=True)

#: kombu's separator between a queue's name and a priority in the names of its lists.
_SEPARATOR = "\x06\x16"
#: Dead letters that one step reads.
_STEP = 100
#: Characters that are shown of an unreadable message.
_SHOWN = 200
#: The marks of `_lib.lua` on a message that was delivered before, and on one that has waited for a rate limit.
_MARKS = re.compile(rb'\A\{(?:"celeriac-redelivered":(\d+),)?(?:"celeriac-limited":"(?:[^"\\]|\\.)*",)?')


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        id: the id of the dead letter. A job can have several.
        job_id: the job's id; empty if the message has none.
        task: the task's name; empty if the message has none.
        queue: the queue from which it came.
        cause: why it was given up.
        losses: the number of workers that vanished while they held it.
        at: when it was given up.
        message: the message for a replay, without marks of former deliveries.
        list_key: the list of the queue for a replay.
    """

    id: str
    job_id: str
    task: str
    queue: str
    cause: str
    losses: int
    at: datetime
    message: bytes
    list_key: str

    @property
    def shown(self) -> str:
        """The beginning of the message, with everything but printable ASCII escaped."""
        more = "..." if len(self.message) > _SHOWN else ""
        return repr(self.message[:_SHOWN])[2:-1] + more


def give_up(worker: str, receipt: str, cause: str, *, end: Transition | PlainResult | None = None) -> ScriptCall[bool]:
    """Make a dead letter of a message that `worker` holds. Reply False if it did not hold the message any more.

    The same step stores `end`, the end of its task, unless the job runs from another message.
    """
    args: list[Argument]
    if isinstance(end, Transition):
        args = [*_GiveUp(receipt, cause, "record"), *shared(), *end.row()]
    elif end is not None:
        args = [*_GiveUp(receipt, cause, "result"), *end.row()]
    else:
        args = [*_GiveUp(receipt, cause, "")]

    def parse(reply: int | bytes) -> bool:
        if isinstance(reply, bytes):
            log.error("the end of the task of message %s cannot be stored: %s", receipt, reply.decode())
        return bool(reply)

    return ScriptCall(_GIVE_UP, [keys.held(worker), keys.DEAD, keys.JOB_INDEX], args, parse)


async def dead_letters(client: Redis) -> AsyncGenerator[DeadLetter]:
    """Yield all dead letters, the newest first, including those that an earlier version kept elsewhere."""
    await run(client, ScriptCall(_ADOPT, [keys.UNREADABLE, keys.DEAD], _Adopt("could not be read"), bool))
    end = "+"
    while True:
        entries: list[Any] = await _commands(client).xrevrange(keys.DEAD, max=end, count=_STEP)
        for entry_id, fields in entries:
            yield _parse(entry_id.decode(), fields)
        if len(entries) < _STEP:
            return
        end = f"({entries[-1][0].decode()}"


async def replay(client: Redis, letter: DeadLetter) -> bool:
    """Put a dead letter back into its queue. Return False if another process has replayed or dropped it.

    If its job has a record and has ended, the record says "queued" from then on.

    Raises:
        WrongState: the job has succeeded by its record, or the letter's queue is unknown.
    """
    if not letter.list_key:
        raise WrongState("an earlier version kept it without its queue; drop it")
    state = await _recorded_state(client, letter)
    if state is JobState.SUCCEEDED:
        raise WrongState(f"job {letter.job_id} has succeeded; drop its dead letter")
    if state is not None and state.finished:
        kind = enqueueing.JobKind(task=letter.task, queue=letter.queue, list_key=letter.list_key)
        job = enqueueing.NewJob(kind, letter.job_id, letter.message, b"")
        await run(client, enqueueing.requeue(job))
        return await drop(client, letter)
    script_keys = [keys.DEAD, letter.list_key, keys.result(letter.job_id)]
    return await run(client, ScriptCall(_REPLAY, script_keys, _Replay(letter.id, letter.message), bool))


async def drop(client: Redis, letter: DeadLetter) -> bool:
    """Delete a dead letter. Return False if it did not exist any more."""
    return bool(await _commands(client).xdel(keys.DEAD, letter.id))


async def _recorded_state(client: Redis, letter: DeadLetter) -> JobState | None:
    state: bytes | None = await _commands(client).hget(keys.record(letter.job_id), "state")
    return JobState(state.decode()) if state else None


def _parse(letter_id: str, fields: dict[bytes, bytes]) -> DeadLetter:
    raw = fields[b"message"]
    marks = _MARKS.match(raw)
    message = b"{" + raw[marks.end() :] if marks else raw
    headers, list_key = _headers(message), fields[b"list"].decode(errors="replace")
    return DeadLetter(
        id=letter_id,
        job_id=name_of(headers, "id"),
        task=name_of(headers, "task"),
        queue=list_key.partition(_SEPARATOR)[0],
        cause=fields[b"cause"].decode(errors="replace"),
        losses=int(marks[1] or 0) if marks else 0,
        at=to_datetime(int(letter_id.partition("-")[0])),
        message=message,
        list_key=list_key,
    )


def _headers(message: bytes) -> dict[str, Any]:
    try:
        headers: Any = codec.loads(message)["headers"]
    except (ValueError, TypeError, KeyError):
        return {}
    return headers if isinstance(headers, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _commands(client: Redis) -> Any:
    return client  # redis-py's types are unions over every protocol and decoding option
