"""What a source gives and a destination takes: pages of records, each with the place at which to go on after it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import JsonValue

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a stream, which is stored together with the rows before it. It is JSON.

    Attributes:
        token: what the source needs to ask for a page: a cursor, a number, a URL. None: the first page.
        skip: how many records of that page are written already. A page that is too large for memory comes in pieces.
        page: the number of that page in its stream, from 0.
    """

    token: JsonValue = None
    skip: int = 0
    page: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the source cannot give as one. `reason` says why, and `record` is what came."""

    reason: str
    record: Any
    position: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a stream, or a piece of one.

    Attributes:
        records: its records, in the source's order. Refused ones are not among them.
        after: where to go on when these are written; None: the stream is complete.
        page: the number of the page, from 0.
        refused: what else was on it.
        source_time_ms: when the source answered, by its own clock; None: unknown.
        requests: how many HTTP requests it took, with those that failed.
        is_missing: whether the API knows nothing of it: a parent has no children, or the path is wrong.
        kept: what the source wants to have when it is asked the next time; only that of the last page counts.
        positions: the place of each record on the whole page, with what was refused; (): as in `records`.
    """

    records: Sequence[Record]
    after: Place | None
    page: int = 0
    refused: Sequence[Refusal] = ()
    source_time_ms: int | None = None
    requests: int = 1
    is_missing: bool = False
    kept: JsonValue = None
    positions: Sequence[int] = ()

    def placed(self, refused: Iterable[Refusal]) -> list[Refusal]:
        """Return refusals by their places among `records` with those on the page."""
        return [replace(one, position=self.positions[one.position]) if self.positions else one for one in refused]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to read of a stream.

    Attributes:
        stream: the stream's name.
        place: where to begin: where the last committed page has ended.
        cursor: the value of the cursor from which on records are wanted, with the lookback taken off; None: all.
        parent: the record's fields of the parent whose children are wanted, for `{parent.id}` in a path; None: none.
        kept: what the source had kept at the end of the last pass; None: nothing, or all records are wanted.
    """

    stream: str
    place: Place = field(default_factory=Place)
    cursor: JsonValue = None
    parent: Record | None = None
    kept: JsonValue = None


class Source(Protocol):
    """Where records come from."""

    def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        """Yield the pages of a stream in their order, from the place that was asked for.

        Raises:
            SourceFailed: the source refuses, or answers what cannot be right. Another attempt will not help.
            SourceUnavailable: it does not answer. Another attempt may help.
            RunLater: it asks for patience for longer than a job should hold its slot. Nothing is lost.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
