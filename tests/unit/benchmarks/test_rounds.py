"""What is measured in turns, and what becomes of runs that fail."""

from __future__ import annotations

from benchmarks.harness import Bench
from benchmarks.support.environments import CannotInstall
from benchmarks.support.options import Options
from benchmarks.support.records import WrongRun
from benchmarks.support.rounds import Sample, rounds


async def _measure(script: dict[str, list[float | Exception]], count: int) -> tuple[Bench, list[str]]:
    """A bench of rows whose runs end as `script` says, and the order in which they ran."""
    order: list[str] = []

    async def measure(row: str) -> Sample:
        order.append(row)
        outcome = script[row].pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return Sample(outcome, {"more": outcome * 2})

    return await rounds(Bench("tried", "what", "jobs/s"), Options(rounds=count), list(script), measure), order


async def test_rows_take_turns() -> None:
    bench, order = await _measure({"a": [1, 3, 2], "b": [4, 5, 6]}, 3)
    assert order == ["a", "b"] * 3
    assert [(row.median, row.min, row.max, row.more) for row in bench.rows] == [
        (2, 1, 3, {"more": 4}),
        (5, 4, 6, {"more": 10}),
    ]
    assert not any(bench.failures.values())


async def test_a_failed_run_is_repeated_and_noted() -> None:
    bench, order = await _measure({"a": [1, WrongRun("1 is missing\nand a log"), 3], "b": [4, 5]}, 2)
    assert order == ["a", "b", "a", "a", "b"]
    assert [row.median for row in bench.rows] == [2, 4.5]
    assert bench.failures["a"] == ["1 is missing\nand a log"]
    assert bench.table().endswith("\n\na, runs that failed: 1 (1 is missing)")


async def test_a_row_that_fails_again_and_again_is_left_out() -> None:
    bench, order = await _measure({"a": [WrongRun("no")] * 3, "b": [4, 5]}, 2)
    assert order == ["a", "a", "a", "b", "b"]
    assert [row.system for row in bench.rows] == ["b"]


async def test_what_cannot_be_installed_is_tried_once() -> None:
    bench, order = await _measure({"a": [CannotInstall("no uv")]}, 2)
    assert order == ["a"]
    assert bench.rows == []
    assert bench.table() == "Nothing could be measured."
