"""The job record: the facts about one job that Redis stores and the API shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from celeriac.core import codec
from celeriac.core.clock import to_datetime
from celeriac.core.printable import message_of, name_of, shortened, unicode
from celeriac.core.states import JobState

#: Characters of an error in a record: of its class's name, its message, and its traceback.
TYPE_LIMIT, MESSAGE_LIMIT, TRACEBACK_LIMIT = 200, 4_000, 32_000


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job: `done` of `total` units (None: unknown), and a message on its current work.

    Raises:
        ValueError, TypeError: `done` or `total` is not a finite number.
    """

    done: float
    total: float | None = None
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "done", _plain_number("done", self.done))
        if self.total is not None:
            object.__setattr__(self, "total", _plain_number("total", self.total))
        object.__setattr__(self, "message", unicode(shortened(str(self.message), MESSAGE_LIMIT)))


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a job that did not succeed: the exception's class name, its message, and the traceback, if any.

    A longer message than 4,000 characters, and a longer traceback than 32,000, loses its middle. A mark says how much
    was cut.
    """

    type: str
    message: str
    traceback: str | None = None

    @classmethod
    def of(cls, error: BaseException, traceback: str | None = None) -> Failure:
        """Make the failure for an exception, with the message that Python would print."""
        return cls(name_of(error), message_of(error, MESSAGE_LIMIT), traceback)

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", shortened(unicode(self.type), TYPE_LIMIT))
        object.__setattr__(self, "message", unicode(shortened(str(self.message), MESSAGE_LIMIT)))
        if self.traceback is not None:
            object.__setattr__(self, "traceback", unicode(shortened(str(self.traceback), TRACEBACK_LIMIT, tail=0.6)))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """The record of one job. Times are UTC. `attempt` counts from 1 once the job has run.

    `delay_until` is set while the job waits. `priority` is 0 to 9, higher first; None: the application's default.
    """

    id: str
    task: str
    queue: str
    state: JobState
    created_at: datetime
    updated_at: datetime
    arguments: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    delay_until: datetime | None = None
    attempt: int = 0
    progress: Progress | None = None
    error: Failure | None = None
    parent_id: str | None = None
    priority: int | None = None
    worker: str | None = None
    cancel_requested: bool = False
    children: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An event of a job. `id` orders events and resumes a stream. `name` is `state` or `progress`."""

    id: str
    name: str
    data: dict[str, Any]

    @property
    def final(self) -> bool:
        """Whether no event follows (unless the job is retried by hand)."""
        return self.name == "state" and JobState(self.data["state"]).finished


def parse_record(job_id: str, fields: Mapping[bytes, bytes]) -> JobRecord:
    """Read a record from the hash that `store/scripts/*.lua` write."""
    text = {key.decode(): value.decode() for key, value in fields.items()}

    def moment(name: str) -> datetime | None:
        return to_datetime(int(text[name])) if name in text else None

    created, started, finished = moment("created") or to_datetime(0), moment("started"), moment("finished")
    return JobRecord(
        id=job_id,
        task=text.get("task", ""),
        queue=text.get("queue", ""),
        state=JobState(text["state"]),
        created_at=created,
        updated_at=max(filter(None, (created, started, finished, moment("updated")))),
        arguments=codec.loads(text["arguments"]) if "arguments" in text else None,
        started_at=started,
        finished_at=finished,
        delay_until=moment("delay_until"),
        attempt=int(text.get("attempt", "started" in text)),  # the first is not written: it goes with the start
        progress=Progress(**orjson.loads(text["progress"])) if "progress" in text else None,
        error=Failure(**orjson.loads(text["error"])) if "error" in text else None,
        parent_id=text.get("parent"),
        priority=int(text["priority"]) if "priority" in text else None,
        worker=text.get("worker"),
        cancel_requested="cancel" in text,
        children=_children(text),
    )


def _children(text: Mapping[str, str]) -> dict[str, int] | None:
    if "children" not in text:
        return None
    names = ("children", "open", "children_succeeded", "children_failed", "children_cancelled")
    total, *rest = (int(text.get(name, "0")) for name in names)
    return {"total": total, **dict(zip(("open", "succeeded", "failed", "cancelled"), rest, strict=True))}


def _plain_number(name: str, value: float) -> float:
    """Convert any kind of number (numpy's, Decimal) to one that JSON can represent."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"progress: {name}={value!r} is not a finite number")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
