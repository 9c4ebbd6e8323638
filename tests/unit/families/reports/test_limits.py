"""The folder and the memory of one report."""

from __future__ import annotations

import fcntl
import os
import resource
from pathlib import Path

import pytest

from celeriac import Celeriac, Settings
from celeriac.core.errors import ConfigurationError
from celeriac.families.reports import ReportsFamily, ReportsSettings, limits
from celeriac.families.reports.limits import Workplace, memory_limit


def left_behind(base: Path, job: str, attempt: int) -> None:
    """Leave what a killed attempt leaves: its files, and the lock that nobody holds any more."""
    place = Workplace(base, job, attempt).__enter__()
    (place.folder / "rows").write_text("data")
    assert place._lock is not None  # pyright: ignore[reportPrivateUsage]
    place._lock.close()  # pyright: ignore[reportPrivateUsage]


def test_the_folder_is_private_and_goes(tmp_path: Path) -> None:
    with Workplace(tmp_path / "base", "a:b", 1) as place:
        assert place.folder.stat().st_mode & 0o777 == 0o700
        assert place.folder.parent.stat().st_mode & 0o777 == 0o700
        assert not place.has_crashed
    assert not place.folder.exists()


@pytest.mark.parametrize(("attempt", "has_crashed"), [(1, False), (2, True)])
def test_only_an_earlier_attempt_that_was_killed_counts_as_a_crash(
    tmp_path: Path, attempt: int, has_crashed: bool
) -> None:
    left_behind(tmp_path, "job", 1)
    with Workplace(tmp_path, "job", attempt) as place:
        assert place.has_crashed is has_crashed
        assert not (place.folder / "rows").exists()


def test_an_attempt_that_ended_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an error"), Workplace(tmp_path, "job", 1):
        raise ValueError("an error")
    with Workplace(tmp_path, "job", 2) as place:
        assert not place.has_crashed


def test_another_report_deletes_what_is_left_and_nothing_that_is_in_use(tmp_path: Path) -> None:
    left_behind(tmp_path, "dead", 1)
    with Workplace(tmp_path, "busy", 1) as busy:
        (busy.folder / "rows").write_text("data")
        with Workplace(tmp_path, "other", 1):
            assert (busy.folder / "rows").exists()
            assert not (tmp_path / "dead" / "rows").exists()
    with Workplace(tmp_path, "dead", 2) as place:
        assert place.has_crashed  # which is remembered


def test_a_start_of_the_application_deletes_what_is_left_and_nothing_that_is_in_use(tmp_path: Path) -> None:
    left_behind(scratch := tmp_path / "scratch", "dead", 1)
    (scratch / "dead" / "folder").mkdir()
    app = Celeriac("shop", settings=Settings(data_dir=tmp_path))
    app.include_family(ReportsFamily, ReportsSettings(reports_scratch=scratch))
    with Workplace(scratch, "busy", 1) as busy:
        left_behind(scratch, "killed", 1)
        (busy.folder / "rows").write_text("data")
        app.check_complete()  # as workers, beat and the API do
        assert sorted(str(path.relative_to(scratch)) for path in scratch.rglob("*")) == [
            *("busy", "busy/rows", "busy/working", "dead", "dead/working", "killed", "killed/working")
        ]
        with Workplace(scratch, "killed", 2) as place:
            assert place.has_crashed  # which is remembered


def test_folders_are_made_and_cleared_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[bool] = []

    def clear(base: Path) -> None:
        other = os.open(base, os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refused.append(True)
        os.close(other)

    monkeypatch.setattr(limits, "_clear", clear)
    limits.clear_scratch(tmp_path)
    with Workplace(tmp_path, "job", 1):
        limits.clear_scratch(tmp_path)  # does not wait for the report
    assert refused == [True] * 3


def test_a_scratch_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind(tmp_path, "dead", 1)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    limits.clear_scratch(tmp_path)
    assert (tmp_path / "dead" / "rows").exists()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigurationError, match="CELERIAC_REPORTS_SCRATCH"), Workplace(tmp_path / "link", "job", 1):
        pass


def test_memory_is_limited_inside_the_block_only() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(60):
        with pytest.raises(MemoryError):
            bytearray(80_000_000)
        assert len(bytearray(20_000_000)) == 20_000_000
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(bytearray(80_000_000)) == 80_000_000
