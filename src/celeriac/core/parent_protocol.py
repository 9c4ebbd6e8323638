"""The messages between worker processes and their parent. Both use this module, the only one that knows their form.

A message is a JSON array: its kind, then its fields.

- Each process of a stack or a worker reports to its parent on a pipe, one message a line: `Serving`, `Ready`,
  `Retiring`, `Refused`.
- The fork server and its parent share a socket, one message a packet. The server says `Ready`, `Unfit` or `Refused`,
  answers `Fork` by `Forked` or `NotForked`, and says `Ended` for each worker that has ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from celeriac.core.errors import CeleriacError, StartRefused
from celeriac.core.exits import exit_code

#: Bytes of a packet on the fork server's socket.
LONGEST_PACKET = 256 * 1024

#: Characters that `Refused` carries. JSON takes up to 12 bytes for one, and the parent cuts lines at 64 KiB.
_LONGEST_MESSAGE, _LONGEST_TRACEBACK = 1_200, 4_000


@dataclass(frozen=True, slots=True)
class Serving:
    """A shard has loaded the application. The parent then renews its lease on that broker.

    Only the shard knows the broker: the parent does not import the application, whose settings win over ours.
    """

    pid: int
    broker_url: str = field(repr=False)  # with its password


@dataclass(frozen=True, slots=True)
class Ready:
    """A shard takes jobs, or the fork server forks on demand."""


@dataclass(frozen=True, slots=True)
class Retiring:
    """A shard takes no more jobs, finishes those it runs, and ends. The parent starts another at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A process cannot start, and a restart will not help."""

    code: int
    message: str
    traceback: str = ""

    @classmethod
    def because_of(cls, error: CeleriacError) -> Refused:
        """Make the refusal for an error, and cut long texts."""
        traceback: str = getattr(error, "traceback", "")
        return cls(int(exit_code(error)), str(error)[:_LONGEST_MESSAGE], traceback[-_LONGEST_TRACEBACK:])

    def as_error(self) -> StartRefused:
        """Make the error that the parent raises."""
        return StartRefused(self.message, self.code, self.traceback)


@dataclass(frozen=True, slots=True)
class Unfit:
    """The application cannot be forked. The fork server ends, and shards are started as programs."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fork:
    """The parent orders a worker with this command line.

    Descriptors come with the packet: first the write end of the worker's report, second its output if it gets its own.
    """

    arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class Forked:
    """A worker was forked, which leads a process group."""

    pid: int


@dataclass(frozen=True, slots=True)
class NotForked:
    """The system refused to fork."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A forked worker has ended: its exit code, or the negative number of the signal that killed it."""

    pid: int
    code: int


Message = Serving | Ready | Retiring | Refused | Unfit | Fork | Forked | NotForked | Ended

_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Serving, Ready, Retiring, Refused, Unfit, Fork, Forked, NotForked, Ended)
}


def encode(message: Message) -> bytes:
    """Encode a message as one line, which is also one packet."""
    values = (getattr(message, each.name) for each in fields(message))
    return json.dumps([type(message).__name__, *values]).encode() + b"\n"


def decode(line: bytes | str) -> Message | None:
    """Decode a line or a packet. Return None if it is not a message: another program wrote it, or it was cut."""
    try:
        kind, *values = json.loads(line)
        return _KINDS[kind](*values)
    except (ValueError, TypeError, KeyError):
        return None
