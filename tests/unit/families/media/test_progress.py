"""Percent, speed and remaining time from what ffmpeg tells."""

from __future__ import annotations

from celeriac.families.media.progress import FfmpegProgress, part, titled


class Told:
    """What was reported, with a clock that the test sets."""

    def __init__(self, duration: float | None = 20.0) -> None:
        self.reports: list[tuple[float, str]] = []
        self.now = 0.0
        self.progress = FfmpegProgress(duration, lambda *report: self.reports.append(report), clock=lambda: self.now)

    def block(self, **values: object) -> bool:
        lines = [
            f"{name}={value}" for name, value in {**values, "progress": values.get("progress", "continue")}.items()
        ]
        return [self.progress.line(line) for line in lines][-1]


def test_percent_speed_and_remaining_time() -> None:
    told = Told()
    told.block(frame=0, out_time_us="N/A", out_time_ms="N/A", out_time="N/A", speed="N/A")
    told.now = 4.0
    assert told.block(frame=125, out_time_us=5_000_000, out_time_ms=5_000_000, out_time="00:00:05.0", speed="1.2x")
    assert told.reports[-1] == (25.0, "1.2x, 12 s left")
    told.now = 10.0
    told.block(frame=500, out_time_us=20_040_000, progress="end")
    assert told.reports[-1] == (100.0, "2.0x, 0 s left")


def test_a_great_speed_is_told_in_digits() -> None:
    told = Told()
    told.block(frame=0, out_time_us="N/A")
    told.now = 0.005
    told.block(frame=500, out_time_us=20_000_000, progress="end")
    assert told.reports[-1] == (100.0, "4,000x, 0 s left")


def test_only_a_block_that_moves_is_progress() -> None:
    told = Told()
    assert told.block(frame=1, out_time_us=1, total_size=10)
    assert not told.block(frame=1, out_time_us=1, total_size=10)
    assert told.block(frame=1, out_time_us=1, total_size=11)
    assert not told.progress.line("garbage")
    assert not told.progress.line("frame=7")


def test_without_a_duration_nothing_is_reported() -> None:
    told = Told(None)
    assert told.block(frame=1, out_time_us=1)
    assert told.reports == []


def test_parts_of_the_work() -> None:
    reports: list[tuple[float, str]] = []
    report = titled(part(lambda *one: reports.append(one), 50, 100), "mp4")
    report(0, "")
    report(50, "2x")
    assert reports == [(50.0, "mp4"), (75.0, "mp4: 2x")]
