"""A run whose jobs are not all there once is no result."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.peers.workload import RECORD
from benchmarks.support.records import Records, WrongRun, new_records, rate
from tests.support.workers import ROOT


def _write(records: Records, *numbers: int, every: float = 0.5) -> None:
    with records.path.open("ab") as file:
        for position, number in enumerate(numbers):
            file.write(RECORD.pack(number, int((100 + position * every) * 1e9)))


def test_a_job_leaves_its_number_and_the_time() -> None:
    with new_records() as records:
        before = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", "from benchmarks.peers.workload import record; record(0); record(1)"],
            check=True,
            cwd=ROOT,
            env={**os.environ, "BENCH_RECORDS": str(records.path)},
        )
        first, second = records.check(2)
    assert (first.number, second.number) == (0, 1)
    assert before < first.at <= second.at < time.monotonic()


def test_a_rate_counts_from_the_first_record_to_the_last() -> None:
    with new_records() as records:
        _write(records, 2, 0, 1, every=0.5)
        assert rate(records.check(3)) == 2.0


def test_a_record_that_is_being_written_is_not_counted() -> None:
    with new_records() as records:
        _write(records, 0)
        with records.path.open("ab") as file:
            file.write(b"half")
        assert records.count() == 1
        assert len(records.read()) == 1


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ((0, 1, 3), r"1 are missing \(2\)"),
        ((0, 1, 2, 2, 3), r"1 ran more than once \(2\)"),
        ((0, 1, 2, 3, 4), r"1 are none of them \(4\)"),
    ],
)
def test_missing_repeated_and_foreign_jobs_are_named(numbers: tuple[int, ...], complaint: str) -> None:
    with new_records() as records:
        _write(records, *numbers)
        with pytest.raises(WrongRun, match=complaint):
            records.check(4)
