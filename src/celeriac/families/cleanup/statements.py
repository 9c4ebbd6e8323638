"""The SQL of one table's chunks. Names come from the database itself and are quoted; values are always bound.

Rows are read as the driver gives them, without SQLAlchemy's types: what is archived, compared and put back is what the
database has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Dialect, TextClause, bindparam, text

from celeriac.families.cleanup.conditions import for_sqlalchemy
from celeriac.families.cleanup.plans import Link, Step
from celeriac.families.cleanup.policy import Policy

Row = tuple[Any, ...]
Key = tuple[Any, ...]
Parameters = dict[str, Any]


class Statements:
    """The statements for the table of one step."""

    def __init__(self, step: Step, policy: Policy, dialect: Dialect, *, whole: bool) -> None:
        """
        Args:
            step: the table, and how its rows are found.
            policy: has the condition.
            dialect: of the database.
            whole: whether rows are read with all their columns, for an archive.
        """
        self._step = step
        self._policy = policy
        self.dialect = dialect.name
        self._preparer = dialect.identifier_preparer
        self.columns = self._read_columns(whole)
        self._place = {name: at for at, name in enumerate(self.columns)}
        #: Whether one statement can delete rows and give them back. Else they are locked and read first.
        self.returns = self.dialect in ("postgresql", "sqlite") and not step.children and not step.own

    def _read_columns(self, whole: bool) -> tuple[str, ...]:
        """The key comes first. Then what links need, or all."""
        step = self._step
        wanted = list(step.shape.key)
        if step.link is not None:
            wanted += step.link.columns
        for link in [child.link for child in step.children if child.link is not None] + list(step.own):
            wanted += link.to_columns
        wanted += self._policy.columns
        if whole:
            wanted += step.shape.names
        return tuple(dict.fromkeys(wanted))

    def _quoted(self, name: str) -> str:
        """Quote a name for SQLAlchemy's `text`, which would take a part after a colon for a parameter."""
        quoted = self._preparer.quote(name)
        if "%" in name:  # `text` doubles it for drivers that need that
            quoted = quoted.replace("%%", "%")
        return quoted.replace(":", "\\:")

    @property
    def table(self) -> str:
        shape = self._step.shape
        return f"{self._quoted(shape.schema)}.{self._quoted(shape.name)}" if shape.schema else self._quoted(shape.name)

    @property
    def step(self) -> Step:
        return self._step

    @property
    def link(self) -> Link:
        """How the rows refer to those of the table before. Only children have it."""
        assert self._step.link is not None
        return self._step.link

    def names(self, columns: Sequence[str]) -> str:
        return ", ".join(map(self._quoted, columns))

    def pick(self, rows: Sequence[Row], columns: Sequence[str]) -> list[Key]:
        """Return the values of some columns of rows that were read."""
        places = [self._place[name] for name in columns]
        if places == list(range(len(places))):
            return [row[: len(places)] for row in rows]
        return [tuple(row[place] for place in places) for row in rows]

    def keys(self, rows: Sequence[Row]) -> list[Key]:
        return self.pick(rows, self._step.shape.key)

    @cached_property
    def condition(self) -> str:
        """What makes a row of the policy's table one to work on. A child's rows only have to refer to one."""
        parts: list[str] = []
        where = self._policy.where
        if self._step.link is None:
            if where.age is not None:
                parts.append(f"{self._quoted(where.age.column)} < :celeriac_cutoff")
            if where.sql is not None:
                parts.append(f"({for_sqlalchemy(where.sql)})")
            parts += self._not_done()
        parts += [self._not_referred(link) for link in self._step.own]
        return " AND ".join(parts) or "1 = 1"

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
        pairs = [
            f"celeriac_other.{self._quoted(column)} = {self.table}.{self._quoted(to)}"
            for column, to in zip(link.columns, link.to_columns, strict=True)
        ]
        same = " AND ".join(
            f"celeriac_other.{self._quoted(one)} = {self.table}.{self._quoted(one)}" for one in self._step.shape.key
        )
        inside = f"SELECT 1 FROM {self.table} AS celeriac_other WHERE {' AND '.join(pairs)} AND NOT ({same})"  # noqa: S608
        return f"NOT EXISTS ({inside})"

    @cached_property
    def parameters(self) -> Parameters:
        """The values of the condition, but for the cutoff."""
        values: Parameters = {}
        if self._step.link is None:
            values.update(self._policy.where.parameters)
            if self._not_done():
                values |= {
                    f"celeriac_new_{number}": value
                    for number, value in enumerate(self._policy.columns.values())
                    if value is not None
                }
        return values

    def read(self, *, after: bool) -> TextClause:
        """Read the next rows of the policy's table: `celeriac_after_N`, `celeriac_limit`."""
        where = f"{self.condition} AND {self._after()}" if after else self.condition
        return self._select(where)

    def read_children(self, *, after: bool) -> TextClause:
        """Read the next rows that refer to some others: `celeriac_parents`."""
        columns = self.link.columns
        where = f"{self._among(columns, 'parents')} AND {self.condition}"
        return self._select(f"{where} AND {self._after()}" if after else where, columns)

    def _select(self, where: str, linked: Sequence[str] = ()) -> TextClause:
        order = self.names(self._step.shape.key)
        columns = self.names(self.columns)
        sql = f"SELECT {columns} FROM {self.table} WHERE {where} ORDER BY {order} LIMIT :celeriac_limit"  # noqa: S608
        return self._text(sql, **({"parents": linked} if linked else {}))

    def read_again(self) -> TextClause:
        """Read rows again by their keys, and keep others from changing them: `celeriac_keys`."""
        key = self._step.shape.key
        among = self._among(key, "keys")
        sql = f"SELECT {self.names(self.columns)} FROM {self.table} WHERE {among} AND {self.condition}"  # noqa: S608
        return self._text(sql + self._for_update, keys=key)

    def hold(self) -> TextClause:
        """The same, but read the keys only."""
        key = self._step.shape.key
        among = self._among(key, "keys")
        sql = f"SELECT {self.names(key)} FROM {self.table} WHERE {among} AND {self.condition}"  # noqa: S608
        return self._text(sql + self._for_update, keys=key)

    @property
    def _for_update(self) -> str:
        return "" if self.dialect == "sqlite" else " FOR UPDATE"

    def delete(self, *, returning: bool) -> TextClause:
        """Delete rows by their keys, and give them back if asked for: `celeriac_keys`."""
        key = self._step.shape.key
        sql = f"DELETE FROM {self.table} WHERE {self._among(key, 'keys')}"  # noqa: S608
        if returning:
            sql += f" AND {self.condition} RETURNING {self.names(self.columns)}"
        return self._text(sql, keys=key)

    def has_children(self) -> TextClause:
        """Look for a row that refers to some others: `celeriac_parents`."""
        columns = self.link.columns
        where = self._among(columns, "parents")
        return self._text(f"SELECT 1 FROM {self.table} WHERE {where} LIMIT 1", parents=columns)  # noqa: S608

    def has_own(self, link: Link) -> TextClause:
        """The same for rows of this table that are not among them: `celeriac_parents`, `celeriac_keys`."""
        key = self._step.shape.key
        where = f"{self._among(link.columns, 'parents')} AND NOT {self._among(key, 'keys')}"
        return self._text(f"SELECT 1 FROM {self.table} WHERE {where} LIMIT 1", parents=link.columns, keys=key)  # noqa: S608

    def update(self) -> TextClause:
        """Give one row its new values: `celeriac_value_N`, `celeriac_key_N`."""
        values = ", ".join(f"{self._quoted(one)} = :celeriac_value_{n}" for n, one in enumerate(self._policy.columns))
        key = " AND ".join(f"{self._quoted(one)} = :celeriac_key_{n}" for n, one in enumerate(self._step.shape.key))
        return text(f"UPDATE {self.table} SET {values} WHERE {key}")  # noqa: S608

    def count(self) -> TextClause:
        """Count the rows of the policy's table on which there is work."""
        return text(f"SELECT count(*) FROM {self.table} WHERE {self.condition}")  # noqa: S608

    def count_below(self, parents: Sequence[Statements]) -> TextClause:
        """Count the rows that refer to some on which there is work. `parents` are the tables above, nearest first."""
        return text(f"SELECT count(*) FROM {self.table} WHERE {self._below(parents)}")  # noqa: S608

    def _below(self, parents: Sequence[Statements]) -> str:
        """Say that a row is chosen: by the condition, or because it refers to a row that is."""
        if not parents:
            return self.condition
        above, link = parents[0], self.link
        wanted = f"SELECT {self.names(link.to_columns)} FROM {above.table} WHERE {above._below(parents[1:])}"  # noqa: S608
        columns = self.names(link.columns)
        return f"{columns if len(link.columns) == 1 else f'({columns})'} IN ({wanted})"

    def sha256(self) -> str:
        """A hash of what is done, for the audit."""
        return hashlib.sha256(f"{self.read(after=True)}\n{self.delete(returning=self.returns)}".encode()).hexdigest()

    def keys_parameters(self, name: str, columns: Sequence[str], keys: Sequence[Key]) -> Parameters:
        """Return keys as parameters of `_among`."""
        if self.dialect == "postgresql":
            return {f"celeriac_{name}_{at}": [key[at] for key in keys] for at in range(len(columns))}
        return {f"celeriac_{name}": [key[0] for key in keys] if len(columns) == 1 else list(keys)}

    def after_parameters(self, key: Key) -> Parameters:
        """Return a key as parameters of `_after`."""
        return {f"celeriac_after_{at}": value for at, value in enumerate(key)}

    def _among(self, columns: Sequence[str], name: str) -> str:
        """Say that columns have the values of one of some keys."""
        quoted = self.names(columns)
        if self.dialect != "postgresql":
            return f"{quoted} IN :celeriac_{name}" if len(columns) == 1 else f"({quoted}) IN :celeriac_{name}"
        if len(columns) == 1:
            return f"{quoted} = ANY(:celeriac_{name}_0)"
        types = [self._step.shape.column(column).declared for column in columns]
        arrays = ", ".join(f"CAST(:celeriac_{name}_{at} AS {kind}[])" for at, kind in enumerate(types))
        return f"({quoted}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608

    def _after(self) -> str:
        """Say that a row's key comes after another one's."""
        key = [self._quoted(one) for one in self._step.shape.key]
        if len(key) == 1:
            return f"{key[0]} > :celeriac_after_0"
        if self.dialect in ("postgresql", "sqlite"):
            values = ", ".join(f":celeriac_after_{at}" for at in range(len(key)))
            return f"({', '.join(key)}) > ({values})"
        # MySQL finds a place in an index by the first column only if that stands alone.
        ways = [
            " AND ".join([f"{key[n]} = :celeriac_after_{n}" for n in range(at)] + [f"{key[at]} > :celeriac_after_{at}"])
            for at in range(len(key))
        ]
        return f"{key[0]} >= :celeriac_after_0 AND ({' OR '.join(f'({way})' for way in ways)})"

    def _text(self, sql: str, **among: Sequence[str]) -> TextClause:
        statement = text(sql)
        if self.dialect == "postgresql":
            return statement
        expanding: list[BindParameter[Any]] = [bindparam(f"celeriac_{name}", expanding=True) for name in among]
        return statement.bindparams(*expanding)


def _is_constant(change: object) -> bool:
    return change is None or isinstance(change, str | int | float | bool)
