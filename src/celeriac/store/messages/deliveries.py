"""Script calls that move a message from its queue to a worker, and remove it or give it back.

A worker that takes a message holds it until it acknowledges the message or gives it back. One step takes the message
and records that, so no message is ever lost between. One lease covers all that a worker holds. Its messages are brought
back when the lease runs out, or as soon as others know that the worker has ended.
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
    life_ms: int
    claim_until_ms: int | str


class _Finish(NamedTuple):
    now_ms: int
    open_life_ms: int
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
    due_ms: int | str


class PlainResultRow(NamedTuple):
    """A plain result, in the form that `store_plain_result` in `_lib.lua` reads."""

    key: str
    outcome: bytes
    life_ms: int


class _PutBack(NamedTuple):
    receipt: str
    place: str
    due_ms: int | str = ""
    losses: int = 0
    mark: bytes = b""


class _PutLater(NamedTuple):
    list: str
    message: bytes
    due_ms: int


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
    claim_until_ms: int | None = None,
) -> ScriptCall[Taken]:
    """Take up to `count` messages for `worker`, which holds those of held queues from then on.

    It holds the first one under `receipt`, `<worker>/<number>`, and the others under the numbers that follow. The call
    may be sent again if the reply was lost: it then replies the same messages.

    With `claim_until_ms` the call is sent in advance, and runs when a message comes. It takes nothing after that time
    (of the server's clock), or if the worker already holds a message or has lost its lease. Then `next_due` is 0.
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
            life_ms=OPEN_LIFE_MS,
            claim_until_ms="" if claim_until_ms is None else claim_until_ms,
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
    """The outcome of a task without a record, in Celery's format, with its key and its life (0: for ever)."""

    key: str
    outcome: bytes
    life_ms: int

    def row(self) -> PlainResultRow:
        """The form that scripts read."""
        return PlainResultRow(key=self.key, outcome=self.outcome, life_ms=self.life_ms)


@dataclass(slots=True)
class Ending:
    """The end of one message.

    Attributes:
        receipt: the receipt under which the worker holds it; empty if it does not any more.
        end: the end of its task, to store in the job's record or as a plain result. None: store nothing.
        publications: the messages that it causes.
    """

    receipt: str
    end: Transition | PlainResult | None = None
    publications: list[Publication] = field(default_factory=list[Publication])

    def arguments(self) -> list[Argument]:
        """Return the form that `finish.lua` reads."""
        end = self.end
        kind = "record" if isinstance(end, Transition) else "" if end is None else "result"
        args: list[Argument] = [self.receipt, len(self.publications), kind]  # the fields of `_Ending`
        for publication in self.publications:
            due = "" if publication.due_ms is None else publication.due_ms
            delayed = keys.delayed(publication.queue)
            args += _Publication(list=publication.list_key, message=publication.message, delayed=delayed, due_ms=due)
        if end is not None:
            args += end.row()
        return args


def finish(worker: str, endings: Sequence[Ending], *, losses: int | None = None) -> ScriptCall[dict[str, str]]:
    """End the delivery of messages: publish and store their ends. Reply a reason for each receipt that failed in part.

    With `losses` the messages go back to the end of their queues, to be run again, and count so many more losses.

    An empty reason says that another worker has the message now, and that its run counts. Then nothing is published or
    stored. Any other reason is the error that prevented storing the outcome.
    """
    args: list[Argument] = [*_Finish(*shared(), losses="" if losses is None else losses)]
    for ending in endings:
        args += ending.arguments()

    def parse(reply: list[bytes]) -> dict[str, str]:
        texts = [text.decode() for text in reply]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    return ScriptCall(_FINISH, [keys.held(worker), keys.JOB_INDEX], args, parse)


def put_back(worker: str, receipt: str, place: Place, *, lost: bool = False) -> ScriptCall[bool]:
    """Give a message back, as the first or the last of its queue. Reply False if the worker did not hold it any more.

    `lost` says that the process which ran it vanished. A message given back as the last counts that as a loss.
    """
    return ScriptCall(_PUT_BACK, [keys.held(worker), ""], _PutBack(receipt, place, losses=int(lost)), bool)


def put_off(worker: str, receipt: str, queue: str, due_ms: int, *, limited: str = "") -> ScriptCall[bool]:
    """Give a message back until it is due. `limited` names a task that is over its rate limit."""
    mark = _mark(limited) if limited else b""
    args = _PutBack(receipt, "later", due_ms=due_ms, mark=mark)
    return ScriptCall(_PUT_BACK, [keys.held(worker), keys.delayed(queue)], args, bool)


def recall(queue: str, task: str, part: tuple[bytes, bytes] = (b"", b"")) -> ScriptCall[tuple[bytes, bytes]]:
    """Make part of the messages due now that a task's rate limit has put off.

    Reply the next part; ("", "") after the last.
    """

    def parse(reply: list[bytes]) -> tuple[bytes, bytes]:
        return (reply[0], reply[1]) if reply[1] else (b"", b"")

    return ScriptCall(_RECALL, [keys.delayed(queue)], _Recall(_mark(task), *part), parse)


def _mark(task: str) -> bytes:
    return b'"celeriac-limited":%s,' % orjson.dumps(task)


def put_later(queue: str, list_key: str, message: bytes, due_ms: int) -> ScriptCall[bool]:
    """Publish a message that goes to `list_key`, a list of `queue`, when it is due."""
    return ScriptCall(_PUT_LATER, [keys.delayed(queue)], _PutLater(list_key, message, due_ms), bool)
