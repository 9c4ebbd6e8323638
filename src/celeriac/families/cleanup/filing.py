"""The archives of one run: one for each table, opened when its first rows come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from celeriac.database.engine import Database
from celeriac.families.cleanup import records
from celeriac.families.cleanup.archives import open_archive
from celeriac.families.cleanup.archives_model import Archive, ArchiveColumn, Format, Member
from celeriac.families.cleanup.archives_tails import cut_tails
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.work import ArchivedFile, Plan, archive_name, archives_of

#: Each run looks after those before it, so that more than the last are of machines that were away.
_MOST_EARLIER = 5


class Filing:
    """The archives of a run, by the paths of its steps. Open them only while the lease of its policy is held."""

    def __init__(self, database: Database, plan: Plan, run_id: str, folder: Path) -> None:
        self._database = database
        self._plan = plan
        self._run_id = run_id
        self._folder = folder
        self._tables = {step.path: step.shape.name for step in plan.root.walk()}
        self._open: dict[str, Archive] = {}

    async def of(self, step: Step) -> Archive:
        """Return the archive of a table. What is in its files but not in the audit is cut off."""
        if step.path not in self._open:
            committed = await self._database.read(lambda c: records.members(c, self._run_id, step.path))
            self._open[step.path] = await self._opened(step, committed)
        return self._open[step.path]

    async def _opened(self, step: Step, committed: Sequence[Member]) -> Archive:
        table = self._tables[step.path]  # and not a partition of it: the archive has the rows of all
        name = archive_name(self._plan.policy.name, self._run_id, self._plan.number(step), table)
        columns = [ArchiveColumn(column.name, column.declared) for column in step.shape.columns]
        form = cast(Format, self._plan.policy.archive)
        return await open_archive(form, self._folder, name, columns, committed=committed)

    async def release(self) -> None:
        """Close all files as they are. The next `of` opens them again, as the audit has them."""
        opened, self._open = list(self._open.values()), {}
        for archive in opened:
            await archive.release()

    async def cut_earlier(self) -> None:
        """Cut off what earlier runs of the policy that were stopped have left in their files."""
        policy = self._plan.policy.name
        for run_id in await self._database.read(lambda c: records.stopped(c, policy, _MOST_EARLIER)):
            await self._cut(run_id)

    async def complete(self) -> list[ArchivedFile]:
        """Check all files of the run that are here, and write their manifests."""
        await self.release()
        files: list[ArchivedFile] = []
        for step in self._plan.root.walk():
            committed = await self._database.read(lambda c, step=step: records.members(c, self._run_id, step.path))
            if committed:
                archive = await self._opened(step, committed)
                for file in await archive.close():
                    files.append(
                        ArchivedFile(table=step.shape.shown, path=str(file.path), rows=file.rows, sha256=file.sha256)
                    )
        await self._cut(self._run_id)  # files of which nothing is committed
        return files

    async def _cut(self, run_id: str) -> None:
        ends = await self._database.read(lambda c: records.ends(c, run_id))
        await cut_tails(self._folder, archives_of(self._plan.policy.name, run_id), ends)
