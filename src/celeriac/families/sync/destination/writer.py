"""What a stream's run wants of a destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from celeriac.families.sync.pages import Page, Refusal
from celeriac.families.sync.shaping import Shaped
from celeriac.families.sync.states import State


@dataclass(frozen=True, slots=True)
class Ended:
    """What a refresh has done at its end.

    Attributes:
        deleted: how many rows it has deleted, or marked so.
        refused: which of its own the table refuses.
        without_row: the keys of those that have no older row in the table either.
    """

    deleted: int = 0
    refused: Sequence[Refusal] = ()
    without_row: Sequence[Sequence[Any]] = ()


class Writer(Protocol):
    """Writes the rows of one stream."""

    async def files(self) -> list[str]:
        """The names of the files that it has written."""
        ...

    @property
    def ignored(self) -> set[str]:
        """The fields that were left out."""
        ...

    def is_lost(self, connection: Connection, state: State) -> bool:
        """Return whether what `state` speaks of has been written, and has gone since."""
        ...

    async def begin(self, state: State) -> None:
        """Get ready for a pass that begins, or that goes on."""
        ...

    async def take(self, page: Page, faults: Mapping[int, str]) -> Shaped:
        """Shape a page, and have its rows wait. `faults` has records that are rejected already.

        Raises:
            SchemaStopped: the table would have to change, and must not.
        """
        ...

    @property
    def is_due(self) -> bool:
        """Whether what waits is enough for a commit."""
        ...

    async def prepare(self, state: State) -> None:
        """Do what comes before the transaction of a commit. `state` is that of the last commit."""
        ...

    def write(self, connection: Connection) -> Sequence[Refusal]:
        """Write what waits, in the transaction of the state. Return what the destination refuses for its values."""
        ...

    def part_rows(self) -> bool:
        """From now on, part rows that the destination refuses from the others. Return False if it does so already."""
        ...

    def clear(self) -> None:
        """Forget what waited: it is committed."""
        ...

    async def prepare_end(self) -> None:
        """Do what comes before the transaction that ends the pass."""
        ...

    def end(self, connection: Connection) -> Ended:
        """Complete a refresh, in the transaction that ends the pass.

        Raises:
            SyncFailed: it is empty, and must not be.
        """
        ...

    async def clean_up(self) -> None:
        """Remove what the pass does not need any more."""
        ...
