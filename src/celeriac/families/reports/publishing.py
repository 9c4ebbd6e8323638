"""Publishes the files of a report: all of them, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from celeriac.core.artifact import Artifact, ArtifactFile
from celeriac.core.context import JobContext
from celeriac.core.errors import StorageFull, StorageUnavailable
from celeriac.storage.storage import Storage


async def publish(job: JobContext, files: Mapping[str, Path], storage: Storage) -> dict[str, Artifact]:
    """Make artifacts of the job of files of this machine, by their names.

    All are written aside first. Then they appear one directly after another. If that fails, those that have appeared
    are taken back.
    """
    targets = {name: job.artifact(name) for name in files}
    try:
        async with AsyncExitStack() as aside:
            for name in reversed(targets):  # the stack closes, and so publishes, the last one first
                file = await aside.enter_async_context(targets[name])
                await file.write_from(files[name])
    except BaseException:
        await asyncio.shield(_take_back(list(targets.values()), storage))
        raise
    return {name: target.artifact for name, target in targets.items()}


async def _take_back(targets: list[ArtifactFile], storage: Storage) -> None:
    for target in targets:
        try:
            artifact = target.artifact
        except RuntimeError:  # it has not appeared
            continue
        with suppress(StorageFull, StorageUnavailable):  # only another attempt may help, which replaces it
            if artifact.path:  # else it is kept in memory, in a test
                await storage.artifacts.withdraw(artifact)
