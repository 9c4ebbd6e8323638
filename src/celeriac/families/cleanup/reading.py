"""Which columns of a table are read, and where they are in a row."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from celeriac.families.cleanup.archives_columns import is_read_as_text, reading
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.wording import Key, Wording

Row = tuple[Any, ...]


class Reading:
    """The columns that are read of one step's rows.

    Those by which rows are found come first, as the driver gives them: the key, and what links need. Then all columns
    for the archive, if there is one; where the driver's values are not exact, as the database's own text.
    """

    def __init__(self, step: Step, wording: Wording, others: Sequence[str], *, whole: bool) -> None:
        """`others` are columns that are read as well. `whole` is whether rows are archived."""
        found = [*step.shape.key, *_of_links(step), *others]
        self.width = len(step.shape.key)
        self._place = {name: at for at, name in enumerate(dict.fromkeys(found))}
        parts = [wording.quoted(name) for name in self._place]
        places: list[int] = []
        for column in step.shape.columns if whole else ():
            name = wording.quoted(column.name)
            exact = reading(name, column.declared, wording.dialect)
            if column.name in self._place and exact == name:
                places.append(self._place[column.name])
            else:
                places.append(len(parts))
                parts.append(exact)
        self.sql = ", ".join(parts)
        self.has_texts = (
            any(is_read_as_text(column.declared, wording.dialect) for column in step.shape.columns) and whole
        )
        self._places = places
        self._is_as_archived = places == list(range(len(parts))) or not whole

    def pick(self, rows: Sequence[Row], columns: Sequence[str]) -> list[Key]:
        """Return the values of some columns by which rows are found."""
        places = [self._place[name] for name in columns]
        if places == list(range(len(places))):
            return [row[: len(places)] for row in rows]
        return [tuple(row[place] for place in places) for row in rows]

    def for_archive(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return rows as the archive has them: all columns, in the table's order."""
        if self._is_as_archived:
            return rows
        if len(self._places) == 1:
            return [(row[self._places[0]],) for row in rows]
        return list(map(itemgetter(*self._places), rows))


def _of_links(step: Step) -> list[str]:
    columns = list(step.link.columns) if step.link is not None else []
    for link in [child.link for child in step.children if child.link is not None] + list(step.own):
        columns += link.to_columns
    return columns
