"""Rounds: everything is measured once, then once more, so that what else a machine does meets all systems alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.harness import Bench
from benchmarks.support.environments import CannotInstall
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.records import WrongRun


@dataclass(frozen=True)
class Sample:
    """What one run showed: the figure that the table is about, and what else was seen."""

    figure: float
    more: Mapping[str, float] = field(default_factory=dict[str, float])

    def __str__(self) -> str:
        return ", ".join([f"{self.figure:,.4g}", *(f"{name} {value:,.4g}" for name, value in self.more.items())])


async def rounds(
    bench: Bench, options: Options, rows: Sequence[str], measure: Callable[[str], Awaitable[Sample]]
) -> Bench:
    """Measure each row in each round, and add it to `bench`; one whose run fails is not tried again, and says why."""
    samples: dict[str, list[Sample]] = {row: [] for row in rows}
    for number in range(1, options.rounds + 1):
        for row in rows:
            if row in bench.failures:
                continue
            try:
                sample = await measure(row)
            except (RunFailed, WrongRun, CannotInstall) as error:
                bench.failures[row] = str(error)
                options.say(f"{bench.bench}, round {number}: {row}: failed")
            else:
                samples[row].append(sample)
                options.say(f"{bench.bench}, round {number}: {row}: {sample} [{bench.unit}]")
    for row in rows:
        if row not in bench.failures:
            names = samples[row][0].more
            more = {name: [sample.more[name] for sample in samples[row]] for name in names}
            bench.add(row, [sample.figure for sample in samples[row]], more)
    return bench
