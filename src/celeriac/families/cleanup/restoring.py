"""Restores what a run has archived, and records in the audit who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from pydantic import BaseModel
from sqlalchemy import Connection

from celeriac.core.context import JobContext
from celeriac.core.errors import DatabaseUnavailable
from celeriac.families.cleanup import records, restore_parts
from celeriac.families.cleanup.archives_model import Member
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.keys import write_key
from celeriac.families.cleanup.places import Place
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.restore import Restored, restore
from celeriac.families.cleanup.restore_parts import Part
from celeriac.families.cleanup.restore_tables import Key
from celeriac.families.cleanup.settled import settled

_LONGEST_ERROR = 2000


class RestoreResult(BaseModel):
    """What a restore has done with each table."""

    tables: dict[str, Restored]


async def restore_run(place: Place, policy: Policy, form: RestoreForm, job: JobContext, who: str) -> RestoreResult:
    """Put the rows of an archive back, those first to which others refer. The audit has who asked for what.

    Raises:
        ArchiveRefused: there is nothing to restore, or the rows cannot be written.
        ArchiveDamaged: a file has changed since it was written. Nothing of it was restored.
        TableRefused: a table may not be written.
    """
    parts = await place.database.look(lambda connection: restore_parts.parts(connection, place, policy, form))
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


async def _restored(place: Place, parts: Sequence[Part], form: RestoreForm, job: JobContext) -> RestoreResult:
    whole = sum(member.rows for part in parts for member in part.members)
    done, result = 0, RestoreResult(tables={})
    before = await place.database.read(lambda c: records.restored_by(c, job.id))
    for part in parts:
        start = done

        def told(rows: int, of: int, start: int = start) -> None:
            job.progress(start + rows, max(whole, of), f"{start + rows:,} rows")

        def note(
            connection: Connection, rows: int, member: Member | None, last: Key | None, table: str = str(part.target)
        ) -> None:
            records.write_restored(connection, job.id, table, rows, member, write_key(last or ()))

        restored = await restore(
            place.database,
            part.source,
            part.target,
            on_conflict=form.on_conflict,
            committed=part.members,
            progress=told,
            record=note,
            before=before,
        )
        done += restored.rows
        shown = str(part.target)
        result.tables[shown] = result.tables.get(shown, Restored()).plus(restored)
    return result
