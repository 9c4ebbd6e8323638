"""The columns of a stream's table, and what a page of records does to them."""

from __future__ import annotations

from dataclasses import dataclass, field

from celeriac.families.sync.kinds import Kind

#: The characters of a text, the greatest absolute integer, or the digits before and after the point of a number; None:
#: whatever the kind holds.
Limit = int | tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that has a field of the records.

    Attributes:
        field: the field, or the path to it.
        name: the column's name.
        kind: what it holds.
        limit: what of that, see `Limit`.
        is_fixed: whether its type stays as it is: it was declared, or is a key's.
        is_key: whether it belongs to the primary key.
        cast: the type of a column of Postgres that is of the user's own, to which texts are cast, such as `uuid`.
        whole: that type without its length or digits, if it has some: a cast would cut or round values.
        is_required: whether the database has it refuse null.
    """

    field: str
    name: str
    kind: Kind
    limit: Limit = None
    is_fixed: bool = False
    is_key: bool = False
    cast: str = ""
    whole: str = ""
    is_required: bool = False


@dataclass(slots=True)
class Changes:
    """What a table needs before the rows of a page fit. `widened` have their new kind."""

    added: dict[str, Column] = field(default_factory=dict[str, Column])
    widened: dict[str, Column] = field(default_factory=dict[str, Column])

    def __bool__(self) -> bool:
        return bool(self.added or self.widened)

    def set(self, column: Column) -> None:
        """Have a column with another kind. One that is to be added is added so."""
        (self.added if column.name in self.added else self.widened)[column.name] = column

    def merge(self, other: Changes) -> None:
        """Take over what a later page needs as well."""
        self.added.update(other.added)
        for column in other.widened.values():
            self.set(column)


@dataclass(frozen=True, slots=True)
class Known:
    """A table as it is in the database.

    Attributes:
        columns: those that have a field of the records, in their order.
        others: further columns by their names in small letters: of the user's own, or left by a run that was killed.
        exists: whether the table is there.
    """

    columns: list[Column]
    others: dict[str, Column]
    exists: bool
