"""Finds what a restore has to put back: archives by the audit, and the tables for their rows by the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from celeriac.families.cleanup import records
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import ArchiveRefused, TableRefused
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.places import Place
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.policy import ArchiveTo, Policy
from celeriac.families.cleanup.views import has_tables


@dataclass(frozen=True, slots=True)
class Part:
    """The archive of one table or partition, and the table that gets its rows."""

    source: Sequence[Path] | TableName
    members: Sequence[Member]
    target: TableName


def parts(connection: Connection, place: Place, policy: Policy, form: RestoreForm) -> list[Part]:
    """Return what is to be put back, those first to which others refer.

    Raises:
        ArchiveRefused: there is nothing to restore, or not as it was asked for.
        TableRefused: a table may not be written.
    """
    if policy.action != "archive":
        raise ArchiveRefused(f"policy {policy.name} archives nothing: its action is {policy.action}")
    steps = [*place.plan(connection, policy).root.walk()][::-1]
    if isinstance(policy.archive, ArchiveTo):
        if form.run is not None:
            raise ArchiveRefused(f"run: the table {policy.archive.table} has the rows of all runs; leave it out")
        if form.table not in (None, steps[0].path):
            raise ArchiveRefused(f"table: the policy has {steps[0].path}, and not {form.table}")
        return [Part(TableName.parse(policy.archive.table), (), _target(place, policy, form, steps[0]))]
    if form.run is None:
        raise ArchiveRefused(f"run: say which run to restore: `celeriac cleanup runs {policy.name}` lists them")
    return _of_run(connection, place, policy, form, form.run, steps)


def _of_run(
    connection: Connection, place: Place, policy: Policy, form: RestoreForm, run: str, steps: Sequence[Step]
) -> list[Part]:
    found = _archived(connection, run, steps) if has_tables(connection) else []
    known = {step.path for step in steps} | {name for name, _ in found}
    if form.table is not None:
        if form.table not in known:
            raise ArchiveRefused(f"table: the policy has {_listed(known)}, and not {form.table}")
        found = [(name, step) for name, step in found if form.table in (name, step.path)]
    if not found:
        raise ArchiveRefused(f"run: {run} has archived no rows of {form.table or _listed(known)}")
    if form.into is not None and len({step.path for _, step in found}) > 1:
        raise ArchiveRefused(f"table: say which one to restore into {form.into}: {_listed(known)}")
    members = [records.members(connection, run, name) for name, _ in found]
    return [
        Part([place.archives / file for file in dict.fromkeys(one.file for one in of)], of, target)
        for of, target in zip(members, [_target(place, policy, form, step) for _, step in found], strict=True)
    ]


def _archived(connection: Connection, run: str, steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """Return what a run has archived, by the names of the audit, and the step of the policy that gets its rows.

    Rows of partitions that went as a whole go back into their table. The statements of a run do not name partitions.

    Raises:
        ArchiveRefused: the policy has no place for some rows any more.
    """
    named = records.archived_steps(connection, run)
    planned = records.planned_steps(connection, run)
    known = {step.path: step for step in steps}
    if lost := [name for name in named if name in planned and name not in known]:
        raise ArchiveRefused(
            f"run: {run} has archived rows of {_listed(lost)}, which the policy has no more: add it to `children` again"
        )
    partitions = [name for name in named if name not in planned]
    return [(path, known[path]) for path in known if path in named and path in planned] + [
        (name, steps[0]) for name in partitions
    ]


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names))


def _target(place: Place, policy: Policy, form: RestoreForm, step: Step) -> TableName:
    """Return the table that gets the rows: its name is from the database, or from the settings."""
    if form.into is None:
        return TableName(step.shape.schema, step.shape.name)
    for allowed in place.tables:
        if allowed == f"{policy.connection}.{form.into}":
            return TableName.parse(allowed.removeprefix(f"{policy.connection}."))
    raise TableRefused(
        f"into: {form.into} may not be written: add {policy.connection}.{form.into} to CELERIAC_CLEANUP_TABLES"
    )
