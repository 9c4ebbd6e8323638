"""What a run works with, and what it tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Dialect

from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.policy import ArchiveTo, Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.shapes import Column
from celeriac.families.cleanup.statements import Parameters, Statements

_CLEAN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


class Stop(Exception):
    """The run ends here, in good order."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        super().__init__(state)


#: Says whether to wait. It is asked between two transactions.
Gate = Callable[[], Awaitable[Hold | None]]


class ArchivedFile(BaseModel):
    """A file of an archive."""

    table: str
    path: str
    rows: int
    sha256: str


class RunResult(BaseModel):
    """What came of a run: the result of its job."""

    policy: str
    run: str
    state: str
    """`done`, `budget`, `paused`, or `skipped` if another job works on the policy."""
    rows: dict[str, int] = {}
    """Rows of each table that were changed, in the whole run."""
    chunks: int = 0
    """In the whole run, as `seconds` are. The latter have all that it has waited."""
    repeated_chunks: int = 0
    """Chunks whose rows had changed before they could be deleted, and which were read again."""
    seconds: float = 0.0
    files: list[ArchivedFile] = []
    hints: list[str] = []
    reason: str = ""


@dataclass(slots=True)
class Plan:
    """The statements of a run, by the paths of their steps."""

    policy: Policy
    root: Step
    statements: Mapping[str, Statements] = field(default_factory=dict[str, Statements])

    @classmethod
    def of(cls, policy: Policy, root: Step, dialect: Dialect) -> Plan:
        """Make the statements of all steps."""
        found = {step.path: Statements(step, policy, dialect) for step in root.walk()}
        return cls(policy, root, found)

    @property
    def to_files(self) -> bool:
        """Whether rows are archived in files."""
        return self.policy.action == "archive" and not isinstance(self.policy.archive, ArchiveTo)

    @property
    def moved_to(self) -> TableName | None:
        """The table of the archive, if it is one."""
        archive = self.policy.archive
        return TableName.parse(archive.table) if isinstance(archive, ArchiveTo) else None

    def within(self, partition: TableName) -> Plan:
        """Return the same for the rows of one partition of the policy's table."""
        whole = self.of_root()
        shape = replace(self.root.shape, schema=partition.schema, name=partition.name)
        root = replace(self.root, shape=shape)
        return Plan(self.policy, root, {**self.statements, root.path: whole.within(root)})

    def of_root(self) -> Statements:
        return self.statements[self.root.path]

    def children(self, step: Step) -> Sequence[Statements]:
        return [self.statements[child.path] for child in step.children]

    def parents(self, step: Step) -> Sequence[Statements]:
        """Return the statements of the tables above a step, nearest first."""
        return [self.statements[path] for path in step.above()]

    def number(self, step: Step) -> int:
        """The step's place, from 1, in the order in which rows go."""
        return 1 + [one.path for one in self.root.walk()].index(step.path)

    def condition(self, cutoff_ms: int) -> Parameters:
        """The values of the condition of the policy's table."""
        values = dict(self.of_root().parameters)
        age = self.policy.where.age
        if age is not None:
            moment = datetime.fromtimestamp(cutoff_ms / 1000, UTC) - age.older_than
            values["celeriac_cutoff"] = cutoff_for(self.root.shape.column(age.column), age.unit, moment, self._dialect)
        return values

    @property
    def _dialect(self) -> str:
        return self.of_root().dialect


def require_keys(connection: Connection, plan: Plan, cutoff_ms: int) -> None:
    """
    Raises:
        TableRefused: rows that should go have a key that is NULL, by which they cannot be found again.
    """
    for step in plan.root.walk():
        if gaps := step.shape.gaps:
            statement = plan.statements[step.path].count_gaps(plan.parents(step))
            if rows := connection.execute(statement, plan.condition(cutoff_ms)).scalar_one():
                raise TableRefused(
                    f"{rows:,} rows of {step.shape.shown} that should go have NULL in their key ({', '.join(gaps)}), "
                    f"so that nothing tells them apart: give them values, or leave them out: `{gaps[0]} IS NOT NULL`"
                )


def cutoff_for(column: Column, unit: str | None, moment: datetime, dialect: str) -> Any:
    """Return a moment as the column has it."""
    if unit is not None:
        return int(moment.timestamp() * (1000 if unit == "ms" else 1))
    if dialect == "sqlite":  # texts: this form sorts before all others of the same second
        return moment.strftime("%Y-%m-%d" if column.is_date else "%Y-%m-%d %H:%M:%S")
    if column.is_date:
        return date(moment.year, moment.month, moment.day)
    return moment if column.has_zone else moment.replace(tzinfo=None)


def archive_name(policy: str, run_id: str, number: int, table: str) -> str:
    """Return a name for the archive of one table of a run, which no other one has."""
    return f"{archives_of(policy, run_id)}{number}-{_plain(table)[:40]}"


def archives_of(policy: str, run_id: str) -> str:
    """Return how the names of all archives of a run begin."""
    plain = _plain(run_id)
    if plain != run_id or len(plain) > 40:
        plain = f"{plain[:20]}-{sha256(run_id.encode()).hexdigest()[:20]}"
    return f"{policy}-{plain}-"


def _plain(name: str) -> str:
    return "".join(letter if letter in _CLEAN else "_" for letter in name.lower())
