"""What the next commit of a stream writes beside its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celeriac.families.sync.counts import Counts
from celeriac.families.sync.pages import Page, Record, Refusal
from celeriac.families.sync.shaping import Shaped


@dataclass(slots=True)
class Waiting:
    """Pages that were taken, and are not committed.

    Attributes:
        counts: what they add, if nothing more is refused.
        refused: what was refused so far, with the numbers of the pages.
    """

    counts: Counts = field(default_factory=Counts)
    refused: list[tuple[int, Sequence[Refusal]]] = field(default_factory=list[tuple[int, Sequence[Refusal]]])
    _parents: list[tuple[Record, str, dict[str, Any]]] = field(default_factory=list[tuple[Record, str, dict[str, Any]]])

    def add(self, page: Page, shaped: Shaped, what: str) -> None:
        """Take note of a page.

        Raises:
            CountsWrong: not each of its records is among the written or the rejected.
        """
        refused = [*page.refused, *page.placed(shaped.rejected)]
        if refused:
            self.refused.append((page.page, refused))
        counts = Counts(
            received=len(page.records) + len(page.refused),
            written=shaped.rows + shaped.superseded,
            rejected=len(refused),
            pages=0 if page.is_missing or (page.after is not None and page.after.skip) else 1,
            requests=page.requests,
        )
        counts.check(what)
        self.counts += counts

    def add_parent(self, record: Record, key: str, fields: dict[str, Any]) -> None:
        """Take note of a record that has children."""
        self._parents.append((record, key, fields))

    def parents(self, refused: Sequence[Refusal]) -> Mapping[str, dict[str, Any]]:
        """Return the parents by their keys, but for records that the destination has refused."""
        bad = {id(one.record) for one in refused}
        return {key: fields for record, key, fields in self._parents if id(record) not in bad}
