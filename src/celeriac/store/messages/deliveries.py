"""Script calls that end the delivery of a message: they remove it with its outcome, or give it back to its queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import orjson

from celeriac.core.clock import now_ms
from celeriac.store import keys
from celeriac.store.jobs.transitions import Publication, Transition, TransitionRow, shared
from celeriac.store.scripts.script import Argument, Script, ScriptCall

_RECORDS, _EVENTS, _RESULTS = keys.record(""), keys.events(""), keys.result("")


class _Succeed(NamedTuple):
    records: str
    events: str
    results: str


class Success(NamedTuple):
    """A job that began with its taking and has succeeded.

    Attributes:
        receipt: the receipt under which the worker holds its message.
        id: the job.
        outcome: the outcome to store, in Celery's format; empty if it is not wanted.
        life_ms: life of its record and its outcome.
    """

    receipt: str
    id: str
    outcome: bytes
    life_ms: int


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
    now_ms: int = 0
    records: str = ""


class _PutLater(NamedTuple):
    list: str
    message: bytes
    due_ms: int


class _Recall(NamedTuple):
    mark: bytes
    first_call: bytes
    after: bytes


_FINISH = Script(
    "finish",
    _Finish,
    {"ending": _Ending, "publication": _Publication, "transition": TransitionRow, "plain_result": PlainResultRow},
    when_full=True,
)
_SUCCEED = Script("succeed", _Succeed, {"job": Success}, when_full=True)
_PUT_BACK = Script("put_back", _PutBack, when_full=True)
_PUT_LATER = Script("put_later", _PutLater)
_RECALL = Script("recall", _Recall, when_full=True)

Place = Literal["first", "last"]


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
    return ScriptCall(_FINISH, [keys.held(worker), keys.JOB_INDEX], args, _reasons)


def _reasons(reply: list[bytes]) -> dict[str, str]:
    texts = [text.decode() for text in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def succeed(worker: str, successes: Sequence[Success]) -> ScriptCall[dict[str, str]]:
    """End jobs that began with their taking and have succeeded. Reply as `finish` does."""
    args: list[Argument] = [*_Succeed(records=_RECORDS, events=_EVENTS, results=_RESULTS)]
    for success in successes:
        args += success
    return ScriptCall(_SUCCEED, [keys.held(worker), keys.VOID, keys.CROWD], args, _reasons)


def put_back(
    worker: str, receipt: str, place: Place, *, lost: bool = False, has_begun: bool = False
) -> ScriptCall[bool]:
    """Give a message back, as the first or the last of its queue. Reply False if the worker did not hold it any more.

    `lost` says that the process which ran it vanished. A message given back as the last counts that as a loss.
    `has_begun` says that its job began with its taking, and has not run: it is queued again.
    """
    args = _PutBack(receipt, place, losses=int(lost), now_ms=now_ms(), records=_RECORDS if has_begun else "")
    return ScriptCall(_PUT_BACK, [keys.held(worker), ""], args, bool)


def put_off(
    worker: str, receipt: str, queue: str, due_ms: int, *, limited: str = "", has_begun: bool = False
) -> ScriptCall[bool]:
    """Give a message back until it is due. `limited` names a task over its rate limit; `has_begun` as in `put_back`."""
    mark, records = _mark(limited) if limited else b"", _RECORDS if has_begun else ""
    args = _PutBack(receipt, "later", due_ms=due_ms, mark=mark, now_ms=now_ms(), records=records)
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
