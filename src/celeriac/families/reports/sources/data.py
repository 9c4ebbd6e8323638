"""What every source gives: the names of the columns, and the rows in batches."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Sequence[Any]

#: Rows that are fetched, checked and written at a time.
BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The data of a report while it is read, once.

    Attributes:
        columns: the names of the columns.
        batches: the rows, each with a value for each column.
        total: how many rows will come, if that is known.
        texts: whether texts may stand for something else: `nothing`, dates in ISO 8601 (`dates`), or also numbers
            and dates as people write them (`all`).
        decimal_comma: whether `1.234` rather is a thousand than a fraction.
        details: what was found out about the source, for the result.
    """

    columns: Sequence[str]
    batches: AsyncIterable[Sequence[Row]]
    total: int | None = None
    texts: str = "nothing"
    decimal_comma: bool = False
    details: Mapping[str, str] = field(default_factory=dict[str, str])


class Patience:
    """The time that is left for reading."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; 0 if it is over."""
        return max(0.0, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end
