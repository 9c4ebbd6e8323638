"""Runs and the audit, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, StringConstraints
from sqlalchemy import Connection, and_, func, or_, select

from celeriac.core.errors import BrokerUnavailable, UnknownJob
from celeriac.database.anywhere import find_anywhere
from celeriac.engine.app import JobApp
from celeriac.families.cleanup import views
from celeriac.families.cleanup.errors import UnknownRun
from celeriac.families.cleanup.jobs import RUN
from celeriac.families.cleanup.places import Places
from celeriac.families.cleanup.policies import Policies
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.tables import chunk_table, run_table
from celeriac.families.cleanup.views import AuditEntry, Run, entry_of, has_tables, run_of

T = TypeVar("T")

_r, _c = run_table.c, chunk_table.c

#: When a run began, the number of a chunk, and the run's id.
Cursor = Annotated[str, StringConstraints(max_length=160, pattern="^[0-9]{1,16}_[0-9]{1,9}_[A-Za-z0-9_.:-]{1,128}$")]


@dataclass(frozen=True, slots=True)
class _After:
    """Where a page begins: behind a chunk, or behind a run."""

    started_at: int
    number: int
    run_id: str

    def __str__(self) -> str:
        return f"{self.started_at}_{self.number}_{self.run_id}"

    @classmethod
    def read(cls, cursor: str | None) -> _After | None:
        if cursor is None:
            return None
        started_at, number, run_id = cursor.split("_", 2)
        return cls(int(started_at), int(number), run_id)


class ArchivePart(BaseModel):
    """A file of an archive, as the audit has it."""

    run: str
    table: str
    file: str
    rows: int
    bytes: int
    """Of the file, as far as it is committed."""
    here: bool
    """Whether this machine has the file."""


class History:
    """What policies have done. It is in the databases that they clean."""

    def __init__(self, app: JobApp, policies: Policies, places: Places) -> None:
        self._app = app
        self._policies = policies
        self._places = places

    async def runs(self, name: str, *, cursor: str | None = None, limit: int = 50) -> tuple[list[Run], str | None]:
        """Return runs of a policy, the newest first, and the next page's cursor.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        after = _After.read(cursor)
        return await self._look(self._policies.get(name), lambda c: _runs(c, name, after, limit))

    async def audit(
        self, name: str, run_id: str | None = None, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[AuditEntry], str | None]:
        """Return chunks of a policy or of one of its runs, the newest first, and the next page's cursor.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        after = _After.read(cursor)
        return await self._look(self._policies.get(name), lambda c: _audit(c, name, run_id, after, limit))

    async def files(self, name: str, run_id: str | None = None) -> list[ArchivePart]:
        """Return the files that a policy, or one of its runs, has archived rows in, those of the newest run first.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        policy = self._policies.get(name)
        folder = self._places.of(policy).archives
        return await self._look(policy, lambda c: _files(c, name, run_id, folder))

    async def run(self, run_id: str) -> Run:
        """Return a run of any policy.

        Raises:
            UnknownRun: no database knows it.
            DatabaseUnavailable: none that answers knows it, and one does not answer.
        """
        asked = {policy.connection: policy for policy in self._policies}
        lookups = [self._look(policy, lambda c: views.run(c, run_id)) for policy in asked.values()]
        found = await find_anywhere(lookups, self._is_of_another_job(run_id))
        if found is None:
            raise UnknownRun(f"no run of a cleanup has the id {run_id[:128]!r}")
        return found

    async def _is_of_another_job(self, run_id: str) -> bool:
        """Return whether the broker knows that this is the id of a job that is no run.

        What it knows of a run does not say where it is: its policy may have another name or another database by now.
        """
        try:
            return (await self._app.client.get(run_id)).task != RUN
        except (UnknownJob, BrokerUnavailable):  # its record is gone, or cannot be read
            return False

    async def _look(self, policy: Policy, function: Callable[[Connection], T]) -> T:
        return await self._places.of(policy).database.look(function)


def _runs(connection: Connection, policy: str, after: _After | None, limit: int) -> tuple[list[Run], str | None]:
    if not has_tables(connection):
        return [], None
    query = select(run_table).where(_r.policy == policy)
    if after is not None:
        same = and_(_r.started_at == after.started_at, _r.id > after.run_id)
        query = query.where(or_(_r.started_at < after.started_at, same))
    rows = connection.execute(query.order_by(_r.started_at.desc(), _r.id).limit(limit + 1)).all()
    found = [run_of(connection, row) for row in rows[:limit]]
    return found, str(_After(found[-1].started_at, 0, found[-1].id)) if len(rows) > limit else None


def _audit(
    connection: Connection, policy: str, run_id: str | None, after: _After | None, limit: int
) -> tuple[list[AuditEntry], str | None]:
    if not has_tables(connection):
        return [], None
    query = select(chunk_table, _r.started_at).join(run_table, _c.run_id == _r.id).where(_r.policy == policy)
    if run_id is not None:
        query = query.where(_c.run_id == run_id)
    if after is not None:
        same = and_(_c.run_id == after.run_id, _c.number < after.number)
        at_once = and_(_r.started_at == after.started_at, or_(_c.run_id > after.run_id, same))
        query = query.where(or_(_r.started_at < after.started_at, at_once))
    ordered = query.order_by(_r.started_at.desc(), _c.run_id, _c.number.desc()).limit(limit + 1)
    rows = connection.execute(ordered).mappings().all()
    found = [entry_of(row) for row in rows[:limit]]
    following = _After(rows[limit - 1]["started_at"], found[-1].number, found[-1].run) if len(rows) > limit else None
    return found, following and str(following)


def _files(connection: Connection, policy: str, run_id: str | None, folder: Path) -> list[ArchivePart]:
    if not has_tables(connection):
        return []
    ends = func.max(_c.file_offset + _c.file_length)
    query = select(_c.run_id, _c.step, _c.file, func.sum(_c.row_count), ends).join(run_table, _c.run_id == _r.id)
    query = query.where(_r.policy == policy, _c.action == "archive", _c.file.is_not(None))
    if run_id is not None:
        query = query.where(_c.run_id == run_id)
    grouped = query.group_by(_r.started_at, _c.run_id, _c.step, _c.file)
    ordered = grouped.order_by(_r.started_at.desc(), _c.run_id, _c.step, _c.file)
    return [
        ArchivePart(run=run, table=step, file=file, rows=rows, bytes=end, here=(folder / file).is_file())
        for run, step, file, rows, end in connection.execute(ordered)
    ]
