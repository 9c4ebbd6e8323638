"""Restores what a run has archived: finds its files by the audit, and the tables by the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import Connection

from celeriac.core.context import JobContext
from celeriac.core.errors import DatabaseUnavailable
from celeriac.families.cleanup import records
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import ArchiveRefused, TableRefused
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.places import Place
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.policy import ArchiveTo, Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.restore import Restored, restore
from celeriac.families.cleanup.settled import settled

_LONGEST_ERROR = 2000


class RestoreResult(BaseModel):
    """What a restore has done with each table."""

    tables: dict[str, Restored]


@dataclass(frozen=True, slots=True)
class _Part:
    """The archive of one table, and the table that gets its rows."""

    source: Sequence[Path] | TableName
    members: Sequence[Member]
    target: TableName


async def restore_run(place: Place, policy: Policy, form: RestoreForm, job: JobContext, who: str) -> RestoreResult:
    """Put the rows of an archive back, those first to which others refer. The audit has who asked for what.

    Raises:
        ArchiveRefused: there is nothing to restore, or the rows cannot be written.
        ArchiveDamaged: a file has changed since it was written. Nothing of it was restored.
        TableRefused: a table may not be written.
    """
    parts = await place.database.look(lambda connection: _parts(connection, place, policy, form))
    asked, database = form.model_dump_json(exclude_none=True), place.database
    await database.write(lambda c: records.open_restore(c, job.id, policy.name, who, asked))
    try:
        result = await _restored(place, parts, form, job)
    except asyncio.CancelledError:
        if job.cancel_requested():
            await settled(database.write(lambda c: records.end_restore(c, job.id, RunState.CANCELLED)))
        raise  # else the worker stops, and another one goes on
    except Exception as error:
        says = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        with suppress(DatabaseUnavailable):
            await database.write(lambda c: records.end_restore(c, job.id, RunState.FAILED, says))
        raise
    await database.write(lambda c: records.end_restore(c, job.id, RunState.DONE))
    return result


async def _restored(place: Place, parts: Sequence[_Part], form: RestoreForm, job: JobContext) -> RestoreResult:
    whole = sum(member.rows for part in parts for member in part.members)
    done, result = 0, RestoreResult(tables={})
    for part in parts:
        before = done

        def told(rows: int, of: int, before: int = before) -> None:
            job.progress(before + rows, max(whole, of), f"{before + rows:,} rows")

        def note(connection: Connection, rows: int, member: Member | None, table: str = str(part.target)) -> None:
            records.write_restored(connection, job.id, table, rows, member)

        restored = await restore(
            place.database,
            part.source,
            part.target,
            on_conflict=form.on_conflict,
            committed=part.members,
            progress=told,
            record=note,
        )
        done += restored.rows
        result.tables[str(part.target)] = restored
    return result


def _parts(connection: Connection, place: Place, policy: Policy, form: RestoreForm) -> list[_Part]:
    if policy.action != "archive":
        raise ArchiveRefused(f"policy {policy.name} archives nothing: its action is {policy.action}")
    steps = [*place.plan(connection, policy).root.walk()][::-1]
    chosen = [step for step in steps if form.table in (None, step.path)]
    if not chosen:
        raise ArchiveRefused(f"table: the policy has {', '.join(step.path for step in steps)}, and not {form.table}")
    if isinstance(policy.archive, ArchiveTo):
        if form.run is not None:
            raise ArchiveRefused(f"run: the table {policy.archive.table} has the rows of all runs; leave it out")
        return [_Part(TableName.parse(policy.archive.table), (), _target(place, policy, form, chosen[0]))]
    return _parts_of_run(connection, place, policy, form, chosen)


def _parts_of_run(
    connection: Connection, place: Place, policy: Policy, form: RestoreForm, chosen: Sequence[Step]
) -> list[_Part]:
    if form.run is None:
        raise ArchiveRefused("run: say which run to restore")
    found = {step.path: records.members(connection, form.run, step.path) for step in chosen}
    archived = [step for step in chosen if found[step.path]]
    if not archived:
        raise ArchiveRefused(f"run: {form.run} has archived no rows of {', '.join(found)}")
    if form.into is not None and len(archived) > 1:
        raise ArchiveRefused(f"table: say which one to restore into {form.into}: {', '.join(found)}")
    return [
        _Part(
            [place.archives / file for file in dict.fromkeys(member.file for member in found[step.path])],
            found[step.path],
            _target(place, policy, form, step),
        )
        for step in archived
    ]


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
