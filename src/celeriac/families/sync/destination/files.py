"""Writes the records of a stream into files of the job: JSON lines, or Parquet.

Each file is committed as a whole: it appears, then the state moves behind its last record. A run that is killed between
the two writes a file of the same name again.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping, Sequence

from sqlalchemy import Connection

from celeriac.core.context import JobContext
from celeriac.families.sync.columns import Changes, Known
from celeriac.families.sync.converting import to_json
from celeriac.families.sync.destination.writer import Ended
from celeriac.families.sync.model import FileDestination, Mode, Stream
from celeriac.families.sync.pages import Page, Record, Refusal
from celeriac.families.sync.paths import getter
from celeriac.families.sync.shaping import Shaped, Shaper
from celeriac.families.sync.states import State

#: Characters of JSON after which a file is written, however few its records are.
_LARGEST = 16_000_000
#: The dialect of values in Parquet.
_PARQUET = "parquet"

ListFiles = Callable[[str], Awaitable[list[str]]]


class FileWriter:
    """Gathers records, and writes them as files of the job that runs."""

    def __init__(self, job: JobContext, destination: FileDestination, stream: Stream, list_files: ListFiles) -> None:
        """`list_files` returns the names of a job's files."""
        self._job = job
        self._destination = destination
        self._stream = stream.model_copy(update={"mode": Mode.APPEND})  # a file has each change of a record
        self._list_files = list_files
        self._key = {path: getter(path) for path in stream.primary_key}
        self._shaper = Shaper(self._stream, _PARQUET, Known([], {}, exists=False), stream.primary_key)
        self._lines: list[str] = []
        self._records: list[Record] = []
        self._size = 0

    @property
    def ignored(self) -> set[str]:
        """The fields that were left out."""
        return self._shaper.ignored

    @property
    def is_due(self) -> bool:
        """Whether a file is full."""
        return len(self._lines) >= self._destination.records or self._size >= _LARGEST

    async def files(self) -> list[str]:
        """The names of the stream's files, of all attempts of the job."""
        return [name for name in await self._list_files(self._job.id) if name.startswith(f"{self._stream.name}-")]

    def is_lost(self, connection: Connection, state: State) -> bool:
        """Each run has files of its own."""
        return False

    async def begin(self, state: State) -> None:
        """Nothing is to be looked at: each run writes files of its own."""

    async def take(self, page: Page, faults: Mapping[int, str]) -> Shaped:
        """Keep the records of a page."""
        found = dict(faults)
        if self._destination.files == "parquet":
            shaped = self._shaper.shape(page.records, found)
            found = {one.position: one.reason for one in shaped.rejected}
        kept: list[tuple[Record, str]] = []
        for position, record in enumerate(page.records):
            if position not in found:
                try:
                    kept.append((record, self._line(record)))
                except ValueError as error:
                    found[position] = str(error)
        self._lines += [line for _, line in kept]
        if self._destination.files == "parquet":
            self._records += [record for record, _ in kept]
        self._size += sum(len(line) for _, line in kept)
        rejected = [Refusal(found[position], page.records[position], position) for position in sorted(found)]
        return Shaped((), (), len(kept), rejected, 0, Changes())

    def _line(self, record: Record) -> str:
        for path, get in self._key.items():
            if get(record) is None:
                raise ValueError(f"it has no {path}, which is its key")
        return to_json(record)

    async def prepare(self, state: State) -> None:
        """Write a file of what waits. Its name is that of its first record's number."""
        if not self._lines:
            return
        ending = "jsonl.gz" if self._destination.files == "jsonl" else "parquet"
        name = f"{self._stream.name}-{state.counts.received + 1:012d}.{ending}"
        content = await asyncio.to_thread(self._content)
        async with self._job.artifact(name) as file:
            await file.write(content)

    def _content(self) -> bytes:
        if self._destination.files == "jsonl":
            text = "\n".join(self._lines) + "\n"
            return gzip.compress(text.encode(), compresslevel=6, mtime=0)
        from celeriac.families.sync.destination.parquet import parquet

        known = Known(self._shaper.columns, {}, exists=True)
        return parquet(Shaper(self._stream, _PARQUET, known, self._stream.primary_key).shape(self._records))

    def write(self, connection: Connection) -> Sequence[Refusal]:
        """The file is there already."""
        return ()

    def part_rows(self) -> bool:
        """Files refuse nothing that `take` has not found."""
        return False

    def clear(self) -> None:
        """Begin another file."""
        self._lines, self._records, self._size = [], [], 0

    async def prepare_end(self) -> None:
        """Nothing is swapped."""

    def end(self, connection: Connection) -> Ended:
        """Nothing is deleted."""
        return Ended()

    async def clean_up(self) -> None:
        """Nothing is left."""
