"""Finds a file again that was made of the same data in the same way.

Under the digest of both there is a small artifact of no job, which says what job made the file. So the storage's own
retention applies to it, all workers share it, and it is written in one step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import celeriac
from celeriac.core import codec
from celeriac.core.artifact import Artifact
from celeriac.core.errors import UnknownArtifact
from celeriac.storage.artifacts import Artifacts

#: Another name when its fields change: an earlier version's is not found, and its report is made anew.
_NAME = "made-by-2.json"


def key_of(data_sha256: str, layout: bytes, file_format: str) -> str:
    """Return the digest of all that the bytes of a file follow from: data, layout, format, and this version's code."""
    digest = hashlib.sha256()
    for part in (celeriac.__version__.encode(), data_sha256.encode(), layout, file_format.encode()):
        digest.update(b"%d:%b" % (len(part), part))
    return f"report-{digest.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that an earlier report has made, and what it told of it."""

    artifact: Artifact
    pages: int | None
    warnings: list[str]


class Cached:
    """The files that earlier reports have made."""

    def __init__(self, artifacts: Callable[[], Artifacts]) -> None:
        self._artifacts = artifacts

    async def find(self, key: str) -> Found | None:
        """Return the earlier file; None: there is none any more."""
        artifacts = self._artifacts()
        with suppress(UnknownArtifact, FileNotFoundError):
            index = await artifacts.get(key, _NAME)
            made = codec.loads(b"".join([piece async for piece in artifacts.stream(index)]))
            found = await artifacts.get(made["job_id"], made["name"])
            if found.sha256 == made["sha256"]:  # else a retry of that job has replaced it
                return Found(found, made["pages"], made["warnings"])
        return None

    async def remember(self, key: str, made: Artifact, pages: int | None, warnings: Sequence[str]) -> None:
        """Have `find` return the file from now on."""
        artifacts = self._artifacts()
        content = await artifacts.begin(key, _NAME)
        told: dict[str, object] = {"job_id": made.job_id, "name": made.name, "sha256": made.sha256}
        told |= {"pages": pages, "warnings": list(warnings)}
        await content.write(codec.dumps(told))
        await artifacts.publish(key, content)
