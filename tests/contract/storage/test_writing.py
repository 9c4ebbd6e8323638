"""What is told to a job that writes a file in the wrong way: in a worker, and in a test without one."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.artifact import ArtifactFile
from celeriac.core.ids import new_id
from celeriac.engine.in_process_files import MemoryFile
from celeriac.storage.artifacts import Artifacts, Limits
from celeriac.storage.location import Location
from celeriac.storage.writing import StoredFile

TEXT: Any = "order,total"


@pytest.fixture(params=["stored", "in memory"])
def file(request: pytest.FixtureRequest, location: Location) -> ArtifactFile:
    if request.param == "in memory":
        return MemoryFile({}, new_id(), "orders.csv")
    artifacts = Artifacts(location, Limits(file_bytes=1000, job_bytes=1000, job_files=9))
    return StoredFile(lambda: artifacts, new_id(), "orders.csv")


async def test_a_blocking_file_in_an_async_job(file: ArtifactFile) -> None:
    with pytest.raises(RuntimeError) as raised, file:
        pass
    assert str(raised.value).startswith("in an `async def` job, use `async with job.artifact('orders.csv')`")


async def test_text_in_an_async_job(file: ArtifactFile) -> None:
    with pytest.raises(TypeError, match=r"in bytes, not str; encode the text: `write\(text.encode\(\)\)`"):
        async with file as opened:
            await opened.write(TEXT)


def test_text_in_a_blocking_job(file: ArtifactFile) -> None:
    with pytest.raises(TypeError, match="in bytes, not str; encode the text"), file as opened:
        opened.write(TEXT)
