"""The way of a message from its queue to a worker and out of the world, as script calls.

A worker that takes a message holds it until it acknowledges it or gives it back; both the taking and the record of it
are one step, so no message is ever nowhere. One lease covers all that a worker holds; what it holds is brought back
when the lease runs out, or as soon as the worker is known to have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs.transitions import OPEN_LIFE_MS, Publication, Transition, TransitionRow, shared
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
    life: int
    claim_until: int | str


class _Finish(NamedTuple):
    now: int
    open_life: int
    records: str
    events: str
    results: str
    losses: int | str


class _Ending(NamedTuple):
    receipt: str
    publications: int
    kind: str


class _Publication(NamedTuple):
    list: str
    message: bytes
    delayed: str
    due: int | str


class PlainResultRow(NamedTuple):
    """A plain result, as `store_plain_result` in `_lib.lua` reads it."""

    key: str
    outcome: bytes
    life: int


class _PutBack(NamedTuple):
    receipt: str
    place: str
    due: int | str = ""
    losses: int = 0
    mark: bytes = b""


class _PutLater(NamedTuple):
    list: str
    message: bytes
    due: int


class _Recall(NamedTuple):
    mark: bytes
    first_call: bytes
    after: bytes


_TAKE = Script("take", _Take, when_full=True)
_FINISH = Script(
    "finish",
    _Finish,
    {"ending": _Ending, "publication": _Publication, "transition": TransitionRow, "plain_result": PlainResultRow},
    when_full=True,
)
_PUT_BACK = Script("put_back", _PutBack, when_full=True)
_PUT_LATER = Script("put_later", _PutLater)
_RECALL = Script("recall", _Recall, when_full=True)

Place = Literal["first", "last"]


@dataclass(frozen=True, slots=True)
class Source:
    """One queue as `take` sees it.

    Attributes:
        queue: its name.
        lists: its lists, from the highest priority to the lowest.
        held: whether what is taken from it is held until it is acknowledged.
    """

    queue: str
    lists: Sequence[str]
    held: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of an attempt to take messages.

    Attributes:
        now_ms: the server's time.
        messages: what was taken, in the order of its receipts: the queue it came from, and the message as it was there.
        next_due: seconds until a delayed message of these queues is due; None if there is none.
    """

    now_ms: int
    messages: list[tuple[str, bytes]]
    next_due: float | None


def take(
    sources: Sequence[Source],
    *,
    worker: str,
    receipt: str,
    count: int,
    lease_ms: int,
    claim_until: int | None = None,
) -> ScriptCall[Taken]:
    """Take up to `count` messages for `worker`, which holds those of held queues from then on.

    It holds the first one under `receipt`, `<worker>/<number>`, and the others under the numbers that follow. Safe to
    send again if the reply was lost: it replies the same messages.

    With `claim_until` it is sent in advance, to be run when a message comes: nothing is taken after that time (ms of
    the server's clock), or while the worker holds a message already or has lost its lease; `next_due` is 0 then.
    """
    script_keys = [keys.LEASES, keys.held(worker)]
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
            life=OPEN_LIFE_MS,
            claim_until="" if claim_until is None else claim_until,
        )
    ]
    args += ["1" if source.held else "0" for source in sources]

    def parse(reply: list[Any]) -> Taken:
        now, due = reply[:2]
        names = [source.queue for source in sources]
        taken: list[tuple[str, bytes]] = [(names[n], raw) for n, raw in zip(reply[2::2], reply[3::2], strict=True)]
        return Taken(now, taken, None if due < 0 else due / 1000)

    return ScriptCall(_TAKE, script_keys, args, parse)


def wait_for(list_key: str, seconds: float) -> Command:
    """Wait until there is a message in a list. Takes nothing: it moves the last message to its own place."""
    return ("BLMOVE", list_key, list_key, "RIGHT", "RIGHT", seconds)


@dataclass(slots=True)
class PlainResult:
    """The outcome of a task without a record, in Celery's format; where it is stored, and for how long (0: ever)."""

    key: str
    outcome: bytes
    life_ms: int

    def row(self) -> PlainResultRow:
        """As scripts read it."""
        return PlainResultRow(key=self.key, outcome=self.outcome, life=self.life_ms)


@dataclass(slots=True)
class Ending:
    """What came of one message.

    Attributes:
        receipt: under which the worker holds it; empty if it holds it no more.
        end: how its task has ended, to be stored: in the record of its job, or as a plain result. None: nothing is.
        publications: the messages that follow from it.
    """

    receipt: str
    end: Transition | PlainResult | None = None
    publications: list[Publication] = field(default_factory=list[Publication])

    def arguments(self) -> list[Argument]:
        """As `finish.lua` reads it."""
        end = self.end
        kind = "record" if isinstance(end, Transition) else "" if end is None else "result"
        args: list[Argument] = [*_Ending(receipt=self.receipt, publications=len(self.publications), kind=kind)]
        for publication in self.publications:
            due = "" if publication.due_ms is None else publication.due_ms
            delayed = keys.delayed(publication.queue)
            args += _Publication(list=publication.list_key, message=publication.message, delayed=delayed, due=due)
        if end is not None:
            args += end.row()
        return args


def finish(worker: str, endings: Sequence[Ending], *, losses: int | None = None) -> ScriptCall[dict[str, str]]:
    """End the delivery of messages, with all that came of them; replies the receipts of which not all was done.

    With `losses` they go back to the end of their queues, to be run again, and remember so many more.

    With an empty reason, the worker held the message no more: nothing is published or stored, for it was given to
    another worker, whose run counts. Else with the error that kept its outcome from being stored.
    """
    args: list[Argument] = [*_Finish(*shared(), losses="" if losses is None else losses)]
    for ending in endings:
        args += ending.arguments()

    def parse(reply: list[bytes]) -> dict[str, str]:
        texts = [text.decode() for text in reply]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    return ScriptCall(_FINISH, [keys.held(worker), keys.JOB_INDEX], args, parse)


def put_back(worker: str, receipt: str, place: Place, *, lost: bool = False) -> ScriptCall[bool]:
    """Give a message back, as the first or the last of its queue; False if the worker held it no more.

    `lost` says that the process which ran it vanished, as a message that is given back as the last remembers.
    """
    return ScriptCall(_PUT_BACK, [keys.held(worker), ""], _PutBack(receipt, place, losses=int(lost)), bool)


def put_off(worker: str, receipt: str, queue: str, due_ms: int, *, limited: str = "") -> ScriptCall[bool]:
    """Give a message back, to be taken again when it is due; `limited` names a task that is over its rate limit."""
    mark = _mark(limited) if limited else b""
    args = _PutBack(receipt, "later", due=due_ms, mark=mark)
    return ScriptCall(_PUT_BACK, [keys.held(worker), keys.delayed(queue)], args, bool)


def recall(queue: str, task: str, part: tuple[bytes, bytes] = (b"", b"")) -> ScriptCall[tuple[bytes, bytes]]:
    """Have what a task's rate limit has put off be due now: a part. Replies the next one; ("", "") after the last."""

    def parse(reply: list[bytes]) -> tuple[bytes, bytes]:
        return (reply[0], reply[1]) if reply[1] else (b"", b"")

    return ScriptCall(_RECALL, [keys.delayed(queue)], _Recall(_mark(task), *part), parse)


def _mark(task: str) -> bytes:
    return b'"celeriac-limited":%s,' % orjson.dumps(task)


def put_later(queue: str, list_key: str, message: bytes, due_ms: int) -> ScriptCall[bool]:
    """Publish a message that goes to `list_key`, a list of `queue`, when it is due."""
    return ScriptCall(_PUT_LATER, [keys.delayed(queue)], _PutLater(list_key, message, due_ms), bool)
