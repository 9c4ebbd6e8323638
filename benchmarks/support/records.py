"""Reads the records that jobs of a run write when they begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.workload import RECORD

#: A file system in memory, so that jobs do not wait for a disk.
_MEMORY = Path("/dev/shm")


class WrongRun(Exception):
    """Jobs are missing, or ran more than once, so that the figures of the run are wrong."""


@dataclass(frozen=True)
class Record:
    """The record of one begun job. `at` is CLOCK_MONOTONIC in seconds."""

    number: int
    at: float


class Records:
    """The file that the jobs of one run write to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def count(self) -> int:
        """How many records have been written so far."""
        return self.path.stat().st_size // RECORD.size

    def read(self) -> list[Record]:
        """All records, in the order of their times."""
        whole = self.path.read_bytes()[: self.count() * RECORD.size]
        return sorted((Record(number, at / 1e9) for number, at in RECORD.iter_unpack(whole)), key=lambda r: r.at)

    def check(self, expected: int) -> list[Record]:
        """All records, after checking that each of the jobs 0 … `expected` - 1 has begun once.

        Raises:
            WrongRun: some have not. The message names them.
        """
        records = self.read()
        times = Counter(record.number for record in records)
        missing = [number for number in range(expected) if number not in times]
        repeated = [number for number, count in times.items() if count > 1]
        foreign = [number for number in times if number >= expected]
        if missing or repeated or foreign:
            raise WrongRun(
                f"of {expected} jobs, {len(missing)} are missing ({_some(missing)}), {len(repeated)} ran more than "
                f"once ({_some(repeated)}), and {len(foreign)} are none of them ({_some(foreign)})"
            )
        return records


def rate(records: list[Record]) -> float:
    """Jobs per second from the first to the last job, which leaves out the start of the workers."""
    return (len(records) - 1) / (records[-1].at - records[0].at)


@contextmanager
def new_records() -> Generator[Records]:
    """Make an empty file in memory, and remove it after the `with` block."""
    with TemporaryDirectory(dir=_MEMORY, prefix="celeriac-bench-") as directory:
        yield Records(Path(directory) / "records")


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "") if numbers else "none"
