"""Script calls that move messages from their queues to a worker, which holds them from the same step on.

A worker that takes a message holds it until it acknowledges the message or gives it back. One step takes the message
and records that, so no message is ever lost between. One lease covers all that a worker holds. Its messages are brought
back when the lease runs out, or as soon as others know that the worker has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs.transitions import OPEN_LIFE_MS
from celeriac.store.scripts.script import Argument, Command, Script, ScriptCall

_QUEUED = orjson.dumps({"state": JobState.QUEUED.value})
_RECORDS, _EVENTS = keys.record(""), keys.events("")


class _Take(NamedTuple):
    worker: str
    lease_ms: int
    receipt: str
    most: int
    lists: int
    records: str
    events: str
    queued_event: bytes
    life_ms: int
    claim_until_ms: int | str
    shown: str


_TAKE = Script("take", _Take, when_full=True)


@dataclass(frozen=True, slots=True)
class Source:
    """A queue from which `take` takes.

    Attributes:
        queue: the queue's name.
        lists: its lists, from the highest priority to the lowest.
        held: whether the worker holds its messages until they are acknowledged.
    """

    queue: str
    lists: Sequence[str]
    held: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of taking messages.

    Attributes:
        now_ms: the server's time.
        messages: the queue and the unchanged message for each that was taken, in the order of receipts.
        next_due: seconds until a delayed message of these queues is due; None if there is none.
        begun: whether its job has begun, for each message (1 or 0).
    """

    now_ms: int
    messages: list[tuple[str, bytes]]
    next_due: float | None
    begun: Sequence[int] = ()


def take(
    sources: Sequence[Source],
    *,
    worker: str,
    receipt: str,
    count: int,
    lease_ms: int,
    claim_until_ms: int | None = None,
    shown: str = "",
) -> ScriptCall[Taken]:
    """Take up to `count` messages for `worker`, which holds those of held queues from then on.

    It holds the first one under `receipt`, `<worker>/<number>`, and the others under the numbers that follow. The call
    may be sent again if the reply was lost: it then replies the same messages.

    With `claim_until_ms` the call is sent in advance, and runs when a message comes. It takes nothing after that time
    (of the server's clock), or if the worker already holds a message or has lost its lease. Then `next_due` is 0.

    With `shown`, the worker's name for people, most jobs of Celeriac's client begin in the same step. A worker that
    does not run such a job at once asks again before it does (`store/jobs/beginnings.py`).
    """
    script_keys = [keys.LEASES, keys.held(worker), keys.CROWD]
    for source in sources:
        script_keys += [keys.delayed(source.queue), *source.lists]
    args: list[Argument] = [
        *_Take(
            worker=worker,
            lease_ms=lease_ms,
            receipt=receipt,
            most=count,
            lists=len(sources[0].lists),
            records=_RECORDS,
            events=_EVENTS,
            queued_event=_QUEUED,
            life_ms=OPEN_LIFE_MS,
            claim_until_ms="" if claim_until_ms is None else claim_until_ms,
            shown=shown,
        )
    ]
    args += ["1" if source.held else "0" for source in sources]

    def parse(reply: list[Any]) -> Taken:
        now, due = reply[:2]
        names = [source.queue for source in sources]
        taken: list[tuple[str, bytes]] = [(names[n], raw) for n, raw in zip(reply[2::3], reply[3::3], strict=True)]
        return Taken(now, taken, None if due < 0 else due / 1000, begun=reply[4::3])

    return ScriptCall(_TAKE, script_keys, args, parse)


def wait_for(list_key: str, seconds: float) -> Command:
    """Wait until there is a message in a list. Takes nothing: it moves the last message to its own place."""
    return ("BLMOVE", list_key, list_key, "RIGHT", "RIGHT", seconds)
