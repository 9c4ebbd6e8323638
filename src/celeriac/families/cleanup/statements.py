"""The SQL of one table's chunks.

Rows are read as the driver gives them, without SQLAlchemy's types: what is archived, compared and put back is what the
database has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

from sqlalchemy import Connection, Dialect, TextClause

from celeriac.families.cleanup.archives_columns import reading
from celeriac.families.cleanup.archives_table import TableName, copy_statement
from celeriac.families.cleanup.conditions import for_sqlalchemy
from celeriac.families.cleanup.plans import Link, Step
from celeriac.families.cleanup.policy import ArchiveTo, Policy
from celeriac.families.cleanup.reading import Reading, Row
from celeriac.families.cleanup.shapes import Reference
from celeriac.families.cleanup.wording import Key, Parameters, Wording

__all__ = ["Key", "Parameters", "Row", "Statements"]


class Statements:
    """The statements for the table of one step. Keys are the parameters `celeriac_keys`, or `celeriac_parents`."""

    def __init__(self, step: Step, policy: Policy, dialect: Dialect, whole: Statements | None = None) -> None:
        """`whole` is of the table of which the step's table is a partition."""
        self.step = step
        self._policy = policy
        self._dialect = dialect
        self._whole = whole
        self.wording = Wording(dialect)
        self.dialect = self.wording.dialect
        to_files = policy.action == "archive" and not isinstance(policy.archive, ArchiveTo)
        self.reading = Reading(step, self.wording, tuple(policy.columns), whole=to_files)
        #: Whether one statement can delete rows and give them back. Else they are locked and read first.
        self.returns = self.wording.can_return and not step.children and not step.own

    def within(self, step: Step) -> Statements:
        """Return the same for a step whose table is a partition of this one."""
        return Statements(step, self._policy, self._dialect, self)

    @property
    def table(self) -> str:
        """The table's name for a statement."""
        shape = self.step.shape
        return ".".join(self._quoted(part) for part in (shape.schema, shape.name) if part)

    @property
    def rows(self) -> str:
        """The table in a statement about its rows. Those of tables that inherit from it have keys of their own."""
        return f"ONLY {self.table}" if self.step.shape.heirs else self.table

    @property
    def link(self) -> Link:
        """How the rows refer to those of the table before. Only children have it."""
        assert self.step.link is not None
        return self.step.link

    @cached_property
    def condition(self) -> str:
        """What makes a row of the policy's table one to work on. A child's rows only have to refer to one."""
        parts: list[str] = []
        where = self._policy.where
        if self.step.link is None:
            if where.age is not None:
                parts.append(f"{self._quoted(where.age.column)} < :celeriac_cutoff")
            if where.sql is not None:
                parts.append(f"({for_sqlalchemy(where.sql)})")
            parts += self._not_done()
        parts += [self._not_referred(link) for link in self.step.own]
        if self._whole is not None:
            parts.append(self._is_part_of(self._whole))
        return " AND ".join(parts) or "1 = 1"

    @cached_property
    def parameters(self) -> Parameters:
        """The values of the condition, but for the cutoff."""
        if self.step.link is not None:
            return {}
        values = dict(self._policy.where.parameters)
        if self._not_done():
            new = enumerate(self._policy.columns.values())
            values |= {f"celeriac_new_{number}": value for number, value in new if value is not None}
        return values

    @cached_property
    def read_first(self) -> TextClause:
        """Read the first rows of the policy's table: `celeriac_limit`."""
        return self._select(self.condition)

    @cached_property
    def read_next(self) -> TextClause:
        """Read the rows after a key: `celeriac_after_N`."""
        return self._select(f"{self.condition} AND {self.wording.after(self.step.shape.key)}")

    @cached_property
    def read_first_children(self) -> TextClause:
        """Read the first rows that refer to some others."""
        return self._select(f"{self._among(self.link.columns, 'parents')} AND {self.condition}")

    @cached_property
    def read_next_children(self) -> TextClause:
        """Read the next ones after a key."""
        where = f"{self._among(self.link.columns, 'parents')} AND {self.condition}"
        return self._select(f"{where} AND {self.wording.after(self.step.shape.key)}")

    @cached_property
    def read_left(self) -> TextClause:
        """Read rows by their keys, without a lock, for which a user who may only delete has no right."""
        where = f"{self._among_keys} AND {self.condition}"
        return self._text(f"SELECT {self.reading.sql} FROM {self.rows} WHERE {where}")  # noqa: S608

    @cached_property
    def read_again(self) -> TextClause:
        """Read rows by their keys, and keep others from changing them."""
        where = f"{self._among_keys} AND {self.condition}{self.wording.for_update}"
        return self._text(f"SELECT {self.reading.sql} FROM {self.rows} WHERE {where}")  # noqa: S608

    @cached_property
    def hold(self) -> TextClause:
        """The same, but read the keys only."""
        where = f"{self._among_keys} AND {self.condition}{self.wording.for_update}"
        return self._text(f"SELECT {self.wording.names(self.step.shape.key)} FROM {self.rows} WHERE {where}")  # noqa: S608

    @cached_property
    def delete(self) -> TextClause:
        """Delete rows by their keys."""
        return self._text(f"DELETE FROM {self.rows} WHERE {self._among_keys}")  # noqa: S608

    @cached_property
    def take(self) -> TextClause:
        """Delete rows by their keys, if they meet the condition, and give them back."""
        where = f"{self._among_keys} AND {self.condition} RETURNING {self.reading.sql}"
        return self._text(f"DELETE FROM {self.rows} WHERE {where}")  # noqa: S608

    @cached_property
    def any_child(self) -> TextClause:
        """Look for a row that refers to some others."""
        where = self._among(self.link.columns, "parents")
        return self._text(f"SELECT 1 FROM {self.rows} WHERE {where} LIMIT 1")  # noqa: S608

    def any_own(self, link: Link) -> TextClause:
        """The same for rows of this table that are not among them."""
        where = f"{self._among(link.columns, 'parents')} AND NOT {self._among_keys}"
        return self._text(f"SELECT 1 FROM {self.rows} WHERE {where} LIMIT 1")  # noqa: S608

    @cached_property
    def update(self) -> TextClause:
        """Give one row its new values: `celeriac_value_N`, `celeriac_key_N`."""
        values = ", ".join(f"{self._quoted(one)} = :celeriac_value_{n}" for n, one in enumerate(self._policy.columns))
        key = " AND ".join(f"{self._quoted(one)} = :celeriac_key_{n}" for n, one in enumerate(self.step.shape.key))
        return self._text(f"UPDATE {self.rows} SET {values} WHERE {key}")  # noqa: S608

    @cached_property
    def count(self) -> TextClause:
        """Count the rows of the policy's table on which there is work."""
        return self._text(f"SELECT count(*) FROM {self.rows} WHERE {self.condition}")  # noqa: S608

    def count_gaps(self, parents: Sequence[Statements]) -> TextClause:
        """Count the rows on which there would be work if their keys were not NULL. `parents` as for `count_below`."""
        gaps = " OR ".join(f"{self._quoted(name)} IS NULL" for name in self.step.shape.gaps)
        return self._text(f"SELECT count(*) FROM {self.rows} WHERE ({gaps}) AND {self._below(parents)}")  # noqa: S608

    def count_below(self, parents: Sequence[Statements]) -> TextClause:
        """Count the rows that refer to some on which there is work. `parents` are the tables above, nearest first."""
        return self._text(f"SELECT count(*) FROM {self.rows} WHERE {self._below(parents)}")  # noqa: S608

    def any_reference(self, table: str, reference: Reference, parents: Sequence[Statements]) -> TextClause:
        """Look for a row of another table that refers to some on which there is work. `parents` as before."""
        columns, to = self.wording.names(reference.columns), self.wording.names(reference.to_columns)
        wanted = f"SELECT {to} FROM {self.rows} WHERE {self._below(parents)}"  # noqa: S608
        return self._text(f"SELECT 1 FROM {table} WHERE ({columns}) IN ({wanted}) LIMIT 1")  # noqa: S608

    def move_to(self, connection: Connection, target: TableName) -> TextClause:
        """Copy rows by their keys into an archive's table. Those whose keys are there stay out."""
        source = TableName(self.step.shape.schema, self.step.shape.name)
        key = [name for name in self.step.shape.key if name in self._types]  # SQLite's row number is no column
        return self._text(copy_statement(connection, source, target, self._among_keys, key))

    def read_whole(self, table: str) -> TextClause:
        """Read all columns of rows by their keys, from this table or from one like it."""
        return self._text(f"SELECT {self._all} FROM {table} WHERE {self._among_keys}")  # noqa: S608

    @cached_property
    def sample(self) -> TextClause:
        """Read a few rows of the policy's table, for people."""
        return self._text(f"SELECT {self._all} FROM {self.rows} WHERE {self._next(self.condition)}")  # noqa: S608

    @cached_property
    def main(self) -> Sequence[TextClause]:
        """The statements of most chunks, for people."""
        read = self.read_next if self.step.link is None else self.read_next_children
        return [read, self.update if self._policy.columns else self.take if self.returns else self.delete]

    @cached_property
    def sha256(self) -> str:
        """A hash of what is done, for the audit. A partition has that of its table, which the run names."""
        if self._whole is not None:
            return self._whole.sha256
        return hashlib.sha256("\n".join(map(str, self.main)).encode()).hexdigest()

    def keys(self, rows: Sequence[Row]) -> list[Key]:
        """Return the keys of rows that were read."""
        return self.reading.pick(rows, self.step.shape.key)

    def given_keys(self, keys: Sequence[Key]) -> Parameters:
        """Return keys as parameters."""
        return self.wording.among_parameters("keys", self.step.shape.key, self._types, keys)

    def given_parents(self, columns: Sequence[str], values: Sequence[Key]) -> Parameters:
        """Return what `columns` of this table refer to as parameters. NULL is referred to by nothing."""
        return self.wording.among_parameters(
            "parents", columns, self._types, [one for one in values if None not in one]
        )

    @property
    def _all(self) -> str:
        columns = self.step.shape.columns
        return ", ".join(reading(self._quoted(one.name), one.declared, self.dialect) for one in columns)

    def _select(self, where: str) -> TextClause:
        return self._text(f"SELECT {self.reading.sql} FROM {self.rows} WHERE {self._next(where)}")  # noqa: S608

    def _next(self, where: str) -> str:
        """Take the next rows in the order of their keys, and not of a text that is made of one."""
        order = ", ".join(f"{self.table}.{self._quoted(one)}" for one in self.step.shape.key)
        return f"{where} ORDER BY {order} LIMIT :celeriac_limit"

    def _not_done(self) -> list[str]:
        """Leave out rows that have all their new values already, where the database can tell."""
        if not self._policy.columns or not all(map(_is_constant, self._policy.columns.values())):
            return []
        differs: list[str] = []
        for number, (name, value) in enumerate(self._policy.columns.items()):
            column = self._quoted(name)
            if value is None:
                differs.append(f"{column} IS NOT NULL")
            else:
                differs.append(f"{column} <> :celeriac_new_{number} OR {column} IS NULL")
        return [f"({' OR '.join(differs)})"]

    def _not_referred(self, link: Link) -> str:
        """Leave out rows to which another row of the table refers. They wait until that one is gone."""
        other = "celeriac_other"
        pairs = [
            f"{other}.{self._quoted(column)} = {self.table}.{self._quoted(to)}"
            for column, to in zip(link.columns, link.to_columns, strict=True)
        ]
        where = " AND ".join(pairs)
        if self.wording.can_return:  # MySQL never deletes a row that refers to itself
            key = self.step.shape.key
            same = " AND ".join(f"{other}.{self._quoted(one)} = {self.table}.{self._quoted(one)}" for one in key)
            where += f" AND NOT ({same})"
        return f"NOT EXISTS (SELECT 1 FROM {self.rows} AS {other} WHERE {where})"  # noqa: S608

    def _is_part_of(self, whole: Statements) -> str:
        """Say that the table is still a partition of another one: somebody may have detached it, to keep it."""
        own, other = (f"to_regclass('{one.table.replace(chr(39), 2 * chr(39))}')" for one in (self, whole))
        return f"EXISTS (SELECT 1 FROM pg_partition_ancestors({own}) AS a WHERE a.relid = {other})"  # noqa: S608

    def _below(self, parents: Sequence[Statements]) -> str:
        """Say that a row is chosen: by the condition, or because it refers to a row that is."""
        if not parents:
            return self.condition
        above, link = parents[0], self.link
        wanted = f"SELECT {self.wording.names(link.to_columns)} FROM {above.rows} WHERE {above._below(parents[1:])}"  # noqa: S608
        columns = self.wording.names(link.columns)
        return f"{columns if len(link.columns) == 1 else f'({columns})'} IN ({wanted})"

    @property
    def _among_keys(self) -> str:
        return self._among(self.step.shape.key, "keys")

    def _among(self, columns: Sequence[str], name: str) -> str:
        return self.wording.among(columns, self._types, name)

    @cached_property
    def _types(self) -> Parameters:
        return {column.name: column.declared for column in self.step.shape.columns}

    def _quoted(self, name: str) -> str:
        return self.wording.quoted(name)

    def _text(self, sql: str) -> TextClause:
        return self.wording.text(sql)


def _is_constant(change: object) -> bool:
    return change is None or isinstance(change, str | int | float | bool)
