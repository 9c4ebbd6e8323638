"""Plans a policy's work: its table, and the tables whose rows go before. What would do harm is refused here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from celeriac.families.cleanup.errors import PolicyInvalid, TableRefused
from celeriac.families.cleanup.patterns import SHORTEST_HASH
from celeriac.families.cleanup.policy import Child, Hashed, Pattern, Policy
from celeriac.families.cleanup.references import Reference
from celeriac.families.cleanup.shapes import Catalogue, Shape

#: More levels of children than this are a mistake.
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class Link:
    """How rows of a table refer to others: its `columns` have the values of the others' `to_columns`."""

    columns: tuple[str, ...]
    to_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A table, and what has to go before its rows.

    Attributes:
        names: of the tables from the policy's one to this one.
        link: how its rows refer to those of the table before it in the path; None: it is the policy's table.
        children: the tables whose rows go before.
        own: how rows of this table refer to others of it. Those that are referred to wait.
    """

    names: tuple[str, ...]
    shape: Shape
    link: Link | None
    children: tuple[Step, ...]
    own: tuple[Link, ...]

    @property
    def path(self) -> str:
        """Its name in the audit."""
        return ".".join(self.names)

    def above(self) -> list[str]:
        """Return the paths of the steps above, nearest first."""
        return [".".join(self.names[:count]) for count in range(len(self.names) - 1, 0, -1)]

    def walk(self) -> Iterator[Step]:
        """Give all steps, in the order in which rows go."""
        for child in self.children:
            yield from child.walk()
        yield self


Allowed = Callable[[Shape], bool]


def plan(policy: Policy, catalogue: Catalogue, allowed: Allowed) -> Step:
    """Return the step of the policy's own table, which has the others.

    Raises:
        TableRefused: a table may not be cleaned, or cannot.
        PolicyInvalid: a column is not there, or cannot have the new value.
    """
    shape = catalogue.shape(policy.table)
    _require_allowed(shape, allowed, policy)
    if policy.where.age is not None:
        _check_age(policy, shape)
    if not policy.removes:
        _check_changes(policy, shape)
        return Step((shape.name,), shape, None, (), ())
    planner = _Planner(policy, catalogue, allowed)
    step = planner.step(shape, None, policy.children, (shape.shown,))
    paths = Counter(one.path for one in step.walk())
    if twice := [path for path, count in paths.items() if count > 1]:
        raise TableRefused(
            f"the audit would call two tables {twice[0]}, as a schema has a table's name: rename one, or list "
            "`children` without one of them"
        )
    if step.own and policy.partitions is not None:
        raise TableRefused(f"rows of {shape.shown} refer to others of it: leave `partitions` out")
    return step


class _Planner:
    def __init__(self, policy: Policy, catalogue: Catalogue, allowed: Allowed) -> None:
        self._policy = policy
        self._catalogue = catalogue
        self._allowed = allowed

    def step(self, shape: Shape, link: Link | None, wanted: str | Sequence[Child], path: tuple[str, ...]) -> Step:
        if len(path) > _DEEPEST:
            raise TableRefused(f"more than {_DEEPEST} tables refer to each other in a row: {' ← '.join(path)}")
        own = [one for one in shape.references if (one.schema, one.table) == (shape.schema, shape.name)]
        others = [one for one in shape.references if one not in own]
        children = (
            self._auto(shape, others, path) if isinstance(wanted, str) else self._listed(shape, others, wanted, path)
        )
        links = tuple(Link(one.columns, one.to_columns) for one in own if not one.empties)
        return Step(path, shape, link, tuple(children), links)

    def _auto(self, to: Shape, references: Sequence[Reference], path: tuple[str, ...]) -> Iterator[Step]:
        taken: list[tuple[str, Link]] = []
        for reference in references:
            link = Link(reference.columns, reference.to_columns)
            if reference.empties or (reference.shown, link) in taken:
                continue  # the database empties the reference, and the row stays
            _require_whole(to, reference)
            shape = self._catalogue.shape_of(reference.schema, reference.table)
            if _is_on(path, shape):
                raise TableRefused(
                    f"tables refer to each other in a circle: {' ← '.join((*path, shape.shown))}; list `children` "
                    "yourself, without the last one"
                )
            _require_allowed(shape, self._allowed, self._policy, f", which refers to {path[-1]}")
            yield self.step(shape, link, "auto", (*path, _step_name(shape, link, taken)))

    def _listed(
        self, shape: Shape, references: Sequence[Reference], wanted: Sequence[Child], path: tuple[str, ...]
    ) -> Iterator[Step]:
        taken: list[tuple[str, Link]] = []
        for child in wanted:
            found = self._catalogue.shape(child.table)
            _require_allowed(found, self._allowed, self._policy)
            if _is_on(path, found):
                raise TableRefused(f"`children` leads in a circle: {' ← '.join((*path, found.shown))}")
            link = _link(shape, found, child, references)
            if (found.shown, link) in taken:
                raise PolicyInvalid(f"children: {found.shown} is listed twice, by the same columns")
            yield self.step(found, link, child.children, (*path, _step_name(found, link, taken)))
        for one in references:
            if one.cascades:
                _require_whole(shape, one)
            if one.cascades and (one.shown, Link(one.columns, one.to_columns)) not in taken:
                raise TableRefused(
                    f"rows of {one.shown} would vanish with those of {shape.shown} ({one.rule}), without an "
                    f"archive and uncounted: list {one.shown} in `children`, or write `children: auto`"
                )


def _step_name(shape: Shape, link: Link, taken: list[tuple[str, Link]]) -> str:
    """Return the name of a child's step, and note the child. Of a table that refers twice, each way is a step."""
    others = [one for name, one in taken if name == shape.shown]
    taken.append((shape.shown, link))
    if not others:
        return shape.shown
    columns = ", ".join(link.columns)
    if link.columns in [one.columns for one in others]:
        columns += f" to {', '.join(link.to_columns)}"
    return f"{shape.shown} ({columns})"


def _is_on(path: Sequence[str], shape: Shape) -> bool:
    return any(name == shape.shown or name.startswith(f"{shape.shown} (") for name in path)


def _require_whole(shape: Shape, one: Reference) -> None:
    """
    Raises:
        TableRefused: the rows that refer to a table's rows cannot be told by the values of their columns.
    """
    if one.is_kin:
        raise TableRefused(
            f"rows of {one.shown} refer to {shape.shown}, and both are parts of one table: they would go whether they "
            "meet the condition or not. Take the foreign key away"
        )
    if one.part and not _is_by_key(shape, one):
        raise TableRefused(
            f"rows of {one.shown} refer to rows of {one.part} alone by {', '.join(one.to_columns)}, which rows of "
            f"other parts of {shape.shown} may have as well: have the foreign key name its key ({', '.join(shape.key)})"
        )


def _is_by_key(shape: Shape, one: Reference) -> bool:
    return set(shape.key) <= set(one.to_columns)


def _link(shape: Shape, child: Shape, wanted: Child, references: Sequence[Reference]) -> Link:
    """Find how the child refers to the table."""
    known = [one for one in references if (one.schema, one.table) == (child.schema, child.name)]
    known = [one for one in known if not one.part or _is_by_key(shape, one)]
    if wanted.columns:
        for name in wanted.columns:
            child.column(name)
        for one in known:
            if one.columns == wanted.columns:
                return Link(one.columns, one.to_columns)
        if len(wanted.columns) != len(shape.key):
            raise PolicyInvalid(
                f"children: {child.shown}: `columns` has {len(wanted.columns)} columns, and the key of {shape.shown} "
                f"has {len(shape.key)}: {', '.join(shape.key)}"
            )
        return Link(wanted.columns, shape.key)
    if len(known) != 1:
        how = "has no foreign key to" if not known else "has several foreign keys to"
        raise PolicyInvalid(f"children: {child.shown} {how} {shape.shown}: give its `columns` that refer to it")
    return Link(known[0].columns, known[0].to_columns)


def _require_allowed(shape: Shape, allowed: Allowed, policy: Policy, why: str = "") -> None:
    if not allowed(shape):
        raise TableRefused(
            f"table {shape.shown}{why} may not be cleaned: add {policy.connection}.{shape.shown} to "
            "CELERIAC_CLEANUP_TABLES"
        )


def _check_age(policy: Policy, shape: Shape) -> None:
    age = policy.where.age
    assert age is not None
    column = shape.column(age.column)
    if column.is_number and age.unit is None:
        raise PolicyInvalid(f"where.age: {age.column} has numbers: say with `unit` whether they are s or ms since 1970")
    if not column.is_number and age.unit is not None:
        raise PolicyInvalid(f"where.age: {age.column} has the type {column.declared}: take `unit` away")


def _check_changes(policy: Policy, shape: Shape) -> None:
    for name, change in policy.columns.items():
        column = shape.column(name)
        if name in shape.key:
            raise PolicyInvalid(f"columns.{name}: it is part of the key, by which the row is found")
        if column.is_generated:
            raise PolicyInvalid(f"columns.{name}: the database computes it")
        if change is None and not column.is_nullable:
            raise PolicyInvalid(f"columns.{name}: it cannot be NULL")
        if isinstance(change, Hashed | Pattern) and not column.is_text:
            raise PolicyInvalid(f"columns.{name}: it has the type {column.declared}, and the new value is a text")
        if isinstance(change, Hashed) and column.length is not None and column.length < SHORTEST_HASH:
            raise PolicyInvalid(f"columns.{name}: a hash needs {SHORTEST_HASH} characters, and it has {column.length}")
