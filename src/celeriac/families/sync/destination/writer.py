"""What a stream's run wants of a destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import Connection

from celeriac.families.sync.pages import Page
from celeriac.families.sync.shaping import Shaped
from celeriac.families.sync.states import State


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

    def write(self, connection: Connection) -> None:
        """Write what waits, in the transaction of the state."""
        ...

    def clear(self) -> None:
        """Forget what waited: it is committed."""
        ...

    async def prepare_end(self) -> None:
        """Do what comes before the transaction that ends the pass."""
        ...

    def end(self, connection: Connection) -> int:
        """Complete a refresh, in the transaction that ends the pass. Return how many rows it has deleted.

        Raises:
            SyncFailed: it is empty, and must not be.
        """
        ...

    async def clean_up(self) -> None:
        """Remove what the pass does not need any more."""
        ...
