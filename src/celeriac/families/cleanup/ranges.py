"""A chunk of SQLite as the range of its keys, which takes half the time of naming each key.

Between the first key and the last there may be rows that are not the chunk's: others that the condition leaves out, or
that came meanwhile. So one row more than the chunk has is read. Only if the rows of the range are those of the chunk,
to the last value, is the range deleted, in the same transaction, with a condition that SQLite cannot look up in another
index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import TextClause

from celeriac.families.cleanup.reading import Row
from celeriac.families.cleanup.wording import Parameters

if TYPE_CHECKING:
    from celeriac.families.cleanup.statements import Statements

#: Chunks whose keys are named, after one whose range had other rows. It doubles up to the second number.
_NAMED, _MOST_NAMED = 1, 64


class Ranges:
    """The statements about ranges of one table, and whether ranges are worth a try."""

    def __init__(self, statements: Statements) -> None:
        """`statements` are those of a table whose key is one column."""
        text, reading = statements.wording.text, statements.reading.sql
        (key,) = map(statements.wording.quoted, statements.step.shape.key)
        within = f"{key} BETWEEN :celeriac_first AND :celeriac_last"
        is_wanted = f"CASE WHEN {statements.condition} THEN "
        #: Read the rows of a range. Those that do not meet the condition have no key.
        self.read: TextClause = text(
            f"SELECT {is_wanted}{key} END{reading.removeprefix(key)} FROM {statements.rows} WHERE {within} "  # noqa: S608
            f"ORDER BY {statements.table}.{key} LIMIT :celeriac_limit"
        )
        #: Delete the rows of a range.
        self.delete: TextClause = text(f"DELETE FROM {statements.rows} WHERE {within} AND {is_wanted}1 END")  # noqa: S608
        self._named, self._left = 0, 0

    @staticmethod
    def suit(statements: Statements) -> bool:
        """Return whether the chunks of a table can be ranges."""
        step = statements.step
        return statements.dialect == "sqlite" and statements.returns and step.link is None and len(step.shape.key) == 1

    def are_worth_a_try(self) -> bool:
        """Return whether to look at the range of the next chunk. Where others are in between, they mostly are again."""
        self._left -= 1
        return self._left < 0

    def had(self, *, others: bool) -> None:
        """Take note of whether the range of a chunk had rows of others."""
        self._named = min(_MOST_NAMED, 2 * self._named or _NAMED) if others else 0
        self._left = self._named

    @staticmethod
    def parameters(rows: Sequence[Row]) -> Parameters:
        """Return the range of rows, in the order of their keys, as parameters."""
        return {"celeriac_first": rows[0][0], "celeriac_last": rows[-1][0], "celeriac_limit": len(rows) + 1}
