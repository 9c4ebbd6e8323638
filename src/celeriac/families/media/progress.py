"""Reads what ffmpeg tells on `-progress pipe:1`, and makes percent, speed and remaining time of it. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from celeriac.core.remaining import remaining

#: Tells percent from 0 to 100, and a text.
Report = Callable[[float, str], None]


@dataclass(slots=True)
class FfmpegProgress:
    """The progress of one run of ffmpeg.

    ffmpeg writes blocks of `key=value`, each ended by the key `progress`. The position is `out_time_us`: of the others,
    `out_time_ms` is in microseconds as well, and `out_time` a text.

    Attributes:
        duration: seconds of the output.
        report: gets the percentage of this run, and speed and remaining time as a text.
    """

    duration: float | None
    report: Report
    clock: Callable[[], float] = monotonic
    _block: dict[str, str] = field(default_factory=dict[str, str])
    _before: tuple[str, ...] = ()
    _began: float | None = None

    def line(self, line: str) -> bool:
        """Take a line. Return whether it completes a block that shows progress."""
        if self._began is None:
            self._began = self.clock()
        key, separator, value = line.partition("=")
        if not separator:
            return False
        self._block[key] = value.strip()
        if key != "progress":
            return False
        block, self._block = self._block, {}
        now = tuple(block.get(name, "") for name in ("out_time_us", "frame", "total_size"))
        moved, self._before = now != self._before, now
        if moved or block["progress"] == "end":
            self._tell(_seconds(block.get("out_time_us", "")))
        return moved

    def _tell(self, position: float) -> None:
        if not self.duration or self._began is None:
            return
        done = min(1.0, max(0.0, position / self.duration))
        elapsed = self.clock() - self._began
        if done <= 0 or elapsed <= 0:
            self.report(done * 100, "")
            return
        speed, left = position / elapsed, elapsed * (1 - done) / done
        self.report(done * 100, f"{speed:,.{0 if speed >= 10 else 1}f}x, {remaining(left)} left")


def _seconds(microseconds: str) -> float:
    try:
        return int(microseconds) / 1_000_000
    except ValueError:  # "N/A", before the first packet
        return 0.0


def part(report: Report, begin: float, end: float) -> Report:
    """Make a report of a part of the work, which takes the whole's percentages from `begin` to `end`."""
    return lambda percent, text: report(begin + (end - begin) * percent / 100, text)


def titled(report: Report, title: str) -> Report:
    """Make a report whose texts begin with a title."""
    return lambda percent, text: report(percent, f"{title}: {text}" if text else title)
