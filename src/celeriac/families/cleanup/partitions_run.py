"""A run that lets whole partitions go, in place of rows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from celeriac.core.errors import RunLater
from celeriac.families.cleanup import locks
from celeriac.families.cleanup.archives_model import Format
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.partitions_chosen import old_partitions
from celeriac.families.cleanup.partitions_detach import Detached, Detaching
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.running import Cleaning
from celeriac.families.cleanup.work import ArchivedFile

#: How long a run waits for partitions that others use.
_AGAIN_S = 60.0


async def detach_partitions(cleaning: Cleaning, folder: Path) -> tuple[RunState, list[ArchivedFile]]:
    """Archive, detach and drop the partitions of the policy's table that are wholly old. Return how the run ends.

    Raises:
        TableRefused: it has no partitions by its age; or some cannot go, which the message names. All others are gone.
        RunLater: others use some. All others are gone.
    """
    policy, done = cleaning.plan.policy, 0

    def told(rows: int) -> None:
        nonlocal done
        done += rows
        cleaning.tell(done)

    detaching = Detaching(
        database=cleaning.database,
        lease=cleaning.lease,
        run_id=cleaning.run.id,
        form=cast("Format", policy.archive) if cleaning.plan.to_files else None,
        folder=folder,
        chunk_rows=policy.chunk.rows,
        wait=cleaning.wait,
        tell=told,
    )
    old = await cleaning.database.read(lambda c: old_partitions(c, cleaning.plan, cleaning.run.cutoff_ms))
    try:
        found = await detaching.go(old)
    except locks.Paused:
        return RunState.PAUSED, []
    cleaning.chunks += len(found.dropped)
    _check(found)
    files = [
        ArchivedFile(table=table, path=str(file.path), rows=file.rows, sha256=file.sha256)
        for table, file in found.files
    ]
    return RunState.DONE, files


def _check(found: Detached) -> None:
    if found.failed:
        raise TableRefused(f"partitions cannot be dropped: {_listed(found.failed)}")
    if found.waiting:
        raise RunLater(_AGAIN_S, f"partitions are in use: {_listed(found.waiting)}")


def _listed(reasons: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items()))
