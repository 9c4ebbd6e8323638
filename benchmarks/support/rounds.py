"""Measures in rounds: everything once, then again, so that other load on the machine affects all systems alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.harness import Bench
from benchmarks.support.environments import CannotInstall
from benchmarks.support.fleet import RunFailed
from benchmarks.support.options import Options
from benchmarks.support.records import WrongRun

#: After how many failed runs a row is left out.
_ENOUGH = 3


@dataclass(frozen=True)
class Sample:
    """The result of one run: the table's main figure, and further figures."""

    figure: float
    more: Mapping[str, float] = field(default_factory=dict[str, float])

    def __str__(self) -> str:
        return ", ".join([f"{self.figure:,.4g}", *(f"{name} {value:,.4g}" for name, value in self.more.items())])


async def rounds(
    bench: Bench, options: Options, rows: Sequence[str], measure: Callable[[str], Awaitable[Sample]]
) -> Bench:
    """Measure each row in each round, and add it to `bench`.

    A run that fails is noted and repeated. After `_ENOUGH` failed runs, a row is left out.
    """
    samples: dict[str, list[Sample]] = {row: [] for row in rows}
    for number in range(1, options.rounds + 1):
        for row in rows:
            sample = await _measured(bench, row, measure)
            if sample is not None:
                samples[row].append(sample)
            options.say(f"{bench.bench}, round {number}: {row}: {sample or 'failed'} [{bench.unit}]")
    for row, taken in samples.items():
        if len(taken) == options.rounds:
            more = {name: [sample.more[name] for sample in taken] for name in taken[0].more}
            bench.add(row, [sample.figure for sample in taken], more)
    return bench


async def _measured(bench: Bench, row: str, measure: Callable[[str], Awaitable[Sample]]) -> Sample | None:
    """The sample of the first run that succeeds. None after too many failures."""
    failures = bench.failures.setdefault(row, [])
    while len(failures) < _ENOUGH:
        try:
            return await measure(row)
        except (RunFailed, WrongRun) as error:
            failures.append(str(error))
        except CannotInstall as error:
            failures.extend([str(error)] * _ENOUGH)
    return None
