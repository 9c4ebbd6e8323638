"""What a policy says: which rows, what is done with them, and how gently. It comes from configuration only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from celeriac.core.durations import Duration
from celeriac.core.exact import Exact
from celeriac.engine.schedule_model import Schedule
from celeriac.families.cleanup.conditions import check_expression, names_of_parameters
from celeriac.families.cleanup.patterns import check_pattern
from celeriac.families.cleanup.throttles import Throttle
from celeriac.families.cleanup.windows import Window
from celeriac.secret import check_place

#: Our own parameters in statements begin with this.
RESERVED = "celeriac_"

Name = Annotated[str, Field(min_length=1, max_length=128)]
Scalar = str | int | float | bool | None


class Age(Exact):
    """Rows whose time in a column is longer ago."""

    column: Name
    """A column with a time or date. Times without a zone count as UTC."""
    older_than: Duration
    """How long ago: `90d`, `12h`, `26w`. The start of the run counts as now."""
    unit: Literal["s", "ms"] | None = None
    """For a column with numbers: whether they are seconds or milliseconds since 1970."""


class Where(Exact):
    """The condition that a row has to meet."""

    age: Age | None = None
    """Rows are old enough."""
    sql: str | None = Field(default=None, min_length=1, max_length=10_000)
    """An SQL expression, such as `status = :status`. Its values are `parameters`."""
    parameters: Mapping[str, Scalar | list[str] | list[int]] = Field(default_factory=dict[str, Any])
    """Values of the `:names` in `sql`, which are bound."""

    @model_validator(mode="after")
    def _complete(self) -> Where:
        if self.age is None and self.sql is None:
            raise ValueError("give `age`, `sql` or both: a policy without a condition would take every row")
        if self.sql is not None:
            check_expression(self.sql)
        wanted = names_of_parameters(self.sql or "")
        if missing := wanted - set(self.parameters):
            raise ValueError(f"`parameters` lacks {', '.join(sorted(missing))}")
        if unused := set(self.parameters) - wanted:
            raise ValueError(f"`sql` does not use the parameters {', '.join(sorted(unused))}")
        if reserved := [name for name in wanted if name.startswith(RESERVED)]:
            raise ValueError(f"parameters cannot be called {', '.join(sorted(reserved))}: choose another beginning")
        return self


class ArchiveTo(Exact):
    """Another table of the same database, to which rows are moved."""

    table: Name
    """Its name. `CELERIAC_CLEANUP_TABLES` has to allow it."""


class Hashed(Exact):
    """A text in its place that says nothing, and is the same for the same text: an HMAC with a secret."""

    hash: Annotated[str, AfterValidator(check_place)]
    """Where the secret is: `env:VARIABLE` or `file:PATH`."""


class Pattern(Exact):
    """A text in its place that is made for each row: `user-{key}@example.invalid`."""

    pattern: str = Field(min_length=1, max_length=1000)
    """The text. `{key}` is the row's key; `{digits:6}` and `{letters:8}` are made up, the same each time."""

    @field_validator("pattern")
    @classmethod
    def _known(cls, value: str) -> str:
        check_pattern(value)
        return value


def _kind_of_change(given: Any) -> str:
    """Tell changes apart by what they have, so that a fault is that of one kind."""
    if isinstance(given, Hashed) or (isinstance(given, Mapping) and "hash" in given):
        return "hash"
    return "pattern" if isinstance(given, Pattern | Mapping) else "constant"


Change = Annotated[
    Annotated[Hashed, Tag("hash")] | Annotated[Pattern, Tag("pattern")] | Annotated[Scalar, Tag("constant")],
    Discriminator(_kind_of_change),
]


class Child(Exact):
    """A table whose rows go before the rows to which they refer."""

    table: Name
    """Its name. `CELERIAC_CLEANUP_TABLES` has to allow it."""
    columns: tuple[Name, ...] = ()
    """The columns that refer to the other table's key. Needed only if the database has no foreign key, or several."""
    children: tuple[Child, ...] = ()
    """Tables that refer to this one."""


class Chunk(Exact):
    """How large a transaction may become."""

    rows: int = Field(default=5000, ge=1, le=10_000)
    """Most rows of one transaction."""
    target_ms: float = Field(default=200.0, ge=1, le=60_000)
    """How long one should take. The number of rows follows."""


class Budget(Exact):
    """When a run has done enough. The next one goes on from there."""

    rows: int | None = Field(default=None, ge=1)
    """After this many rows, those of children counted as well. It ends with the chunk that gets there."""
    seconds: float | None = Field(default=None, gt=0)
    """After this many seconds of work."""


class Policy(Exact):
    """A policy of cleanup."""

    name: str = Field(min_length=1, max_length=64)
    """Its name in the API, in commands and messages. Default: that of its file."""
    connection: Name
    """A name of `CELERIAC_CLEANUP_CONNECTIONS`."""
    table: Name
    """`table` or `schema.table`, which `CELERIAC_CLEANUP_TABLES` has to allow."""
    where: Where
    """Which rows."""
    action: Literal["delete", "archive", "anonymise", "update"]
    """What is done with them. `archive` deletes them once they are archived."""
    archive: Literal["csv.gz", "parquet"] | ArchiveTo = "csv.gz"
    """For the action `archive`: the files' format, or another table."""
    columns: Mapping[Name, Change] = Field(default_factory=dict[str, Change])
    """For `anonymise` and `update`: the new values."""
    children: Literal["auto"] | tuple[Child, ...] = ()
    """Tables that refer to this one: `auto` finds them by their foreign keys."""
    partitions: Literal["chunk", "detach"] | None = None
    """For tables of Postgres with partitions. `chunk`: go through each partition that may have such rows by itself.
    `detach`, for partitions by the age column: detach those that are wholly old, and drop them. Rows in younger
    partitions stay until these are old. Unset: rows go in the order of the key, whatever partition they are in."""
    chunk: Chunk = Chunk()
    """How large a transaction may become."""
    budget: Budget = Budget()
    """When a run has done enough."""
    window: Window | None = None
    """When it may run. Outside of it, a run waits, and holds no slot of a worker."""
    throttles: tuple[Throttle, ...] = ()
    """What it waits for between two chunks."""
    schedule: Schedule | None = None
    """When a run begins by itself, as beat enqueues it."""
    analyze: bool = False
    """Whether to renew the database's statistics after a run that changed much."""

    @field_validator("name")
    @classmethod
    def _simple(cls, value: str) -> str:
        plain = value.replace("-", "").replace("_", "")
        if not (plain.isascii() and plain.isalnum() and value == value.lower()) or value.startswith(("-", "_")):
            raise ValueError("use lower-case letters, digits, '-' and '_', such as old-orders")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        changes = self.action in ("anonymise", "update")
        if changes != bool(self.columns):
            raise ValueError(f"action {self.action}: " + ("give `columns`" if changes else "`columns` has no meaning"))
        if self.action != "archive" and "archive" in self.model_fields_set:
            raise ValueError("`archive` needs `action: archive`")
        if changes and self.children:
            raise ValueError(f"`children` has no meaning for the action {self.action}: no row goes away")
        if isinstance(self.archive, ArchiveTo) and self.children:
            raise ValueError("`archive: {table: …}` takes no `children`: rows of several tables need files")
        if self.action == "update" and any(isinstance(one, Hashed | Pattern) for one in self.columns.values()):
            raise ValueError("`update` sets constants; hashes and patterns are for `anonymise`")
        if self.partitions == "detach":
            self._check_detach()
        return self

    def _check_detach(self) -> None:
        """
        Raises:
            ValueError: the policy asks for more than to let whole partitions go.
        """
        if self.where.age is None or self.where.sql is not None:
            raise ValueError("`partitions: detach` goes by the age alone: give `where.age`, and no `where.sql`")
        if not self.removes or isinstance(self.archive, ArchiveTo):
            raise ValueError("`partitions: detach` needs the action delete, or archive to csv.gz or parquet")
        if self.children or self.budget != Budget():
            raise ValueError("`partitions: detach` takes neither `children` nor `budget`: a partition goes as a whole")

    def within(self, *, rows: int | None, seconds: float | None) -> Policy:
        """Return the policy with a smaller budget. What is not given stays."""
        asked = {name: value for name, value in (("rows", rows), ("seconds", seconds)) if value is not None}
        return self.model_copy(update={"budget": self.budget.model_copy(update=asked)}) if asked else self

    @property
    def removes(self) -> bool:
        """Whether rows go away."""
        return self.action in ("delete", "archive")
