"""Writes results into a Markdown page: tables between markers, and a plot in a file beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Bench
from benchmarks.support.chart import chart
from benchmarks.support.system import System

#: The benchmarks that the plot shows.
_PLOTTED = ("drain", "io", "enqueue_peers", "latency")


class Page:
    """A Markdown file with a part for each bench, between `<!-- bench: NAME -->` and `<!-- end -->`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, part: str, text: str) -> None:
        """Replace the text of a part by `text`.

        Raises:
            ValueError: the page has no such part.
        """
        page = self._path.read_text()
        pattern = re.compile(rf"(<!-- bench: {re.escape(part)} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"{self._path} has no part <!-- bench: {part} --> … <!-- end -->")
        self._path.write_text(pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page))

    def plot(self, benches: Sequence[Bench]) -> None:
        """Draw the plot into a file beside the page, and link it, if all its benchmarks have been measured."""
        shown = [bench for name in _PLOTTED for bench in benches if bench.bench == name]
        if len(shown) < len(_PLOTTED):
            return
        picture = self._path.with_suffix(".svg")
        picture.write_text(chart(shown))
        self.show("plot", f"![Bars of the medians, with their spread]({picture.name})")


def settings_table(systems: Sequence[System]) -> str:
    """Make the table of systems, with their guarantees and settings."""
    lines = ["| system | guarantee | settings |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {s.name} | {s.guarantee} | {s.settings} |" for s in systems])
