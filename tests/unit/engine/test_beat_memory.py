"""What beat remembers over restarts, and that it is no pickle."""

from __future__ import annotations

import json
import pickle
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.beat import PersistentScheduler
from celery.schedules import BaseSchedule, crontab, schedstate
from kombu.utils.imports import symbol_by_name

from celeriac import Celeriac
from celeriac.engine.beat import RememberingScheduler

ENTRIES: dict[str, Any] = {
    "interval": {"task": "a", "schedule": 3600.0},
    "cron": {"task": "b", "schedule": crontab(minute="15", hour="3")},
}


def _scheduler(directory: Path, entries: dict[str, Any] | None = None) -> RememberingScheduler:
    app = Celery("test", set_as_current=False, broker="memory://", backend="disabled://")
    app.conf.beat_schedule = ENTRIES if entries is None else entries
    return RememberingScheduler(app, schedule_filename=str(directory / "beat-schedule"))


def test_when_an_entry_was_last_sent_is_remembered(tmp_path: Path) -> None:
    first = _scheduler(tmp_path)
    sent = {name: first.reserve(entry) for name, entry in first._entries().items()}
    first.close()
    again = _scheduler(tmp_path)._entries()
    for name, entry in sent.items():
        assert again[name].last_run_at == entry.last_run_at
        assert again[name].total_run_count == entry.total_run_count == 1
    assert not again["interval"].is_due().is_due


def test_an_overdue_entry_is_sent_after_a_restart(tmp_path: Path) -> None:
    _scheduler(tmp_path).close()
    path = tmp_path / "beat-schedule.json"
    content = json.loads(path.read_text())
    content["interval"]["last_run_at"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    path.write_text(json.dumps(content))
    assert _scheduler(tmp_path)._entries()["interval"].is_due().is_due


def test_an_entry_whose_schedule_has_changed_begins_anew(tmp_path: Path) -> None:
    first = _scheduler(tmp_path)
    first.reserve(first._entries()["interval"])
    first.close()
    changed = _scheduler(tmp_path, {"interval": {"task": "a", "schedule": 10.0}})._entries()
    assert changed["interval"].total_run_count == 0


def test_the_file_is_json_and_private(tmp_path: Path) -> None:
    _scheduler(tmp_path).close()
    (path,) = tmp_path.iterdir()
    assert set(json.loads(path.read_text())) == set(ENTRIES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


class _Trap:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"interval": 3}', b'{"interval": {"schedule": "<freq: 1.00 hour>"}}', b"\xff", b"{"]
)
def test_what_cannot_be_read_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "beat-schedule.json").write_bytes(content)
    assert set(_scheduler(tmp_path)._entries()) == set(ENTRIES)


def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("beat-schedule", "beat-schedule.json", "beat-schedule.db"):
        (tmp_path / name).write_bytes(pickle.dumps(_Trap()))
    _scheduler(tmp_path).close()
    assert not (tmp_path / "sprung").exists()


def test_every_application_remembers_so_unless_it_names_a_scheduler() -> None:
    app = Celeriac("test")
    assert _scheduler_of(app) is RememberingScheduler
    app.conf.beat_scheduler = "celery.beat:PersistentScheduler"
    assert _scheduler_of(app) is PersistentScheduler


def _scheduler_of(app: Celery) -> type:
    return symbol_by_name(app.conf.beat_scheduler)


class _Own(BaseSchedule):
    """A schedule of a user's, which shows no more of itself than where it is in memory."""

    def is_due(self, last_run_at: datetime) -> Any:
        return schedstate(False, 60.0)


def test_a_schedule_of_ones_own_is_remembered(tmp_path: Path) -> None:
    first = _scheduler(tmp_path, {"own": {"task": "a", "schedule": _Own()}})
    first.reserve(first._entries()["own"])
    first.close()
    assert _scheduler(tmp_path, {"own": {"task": "a", "schedule": _Own()}})._entries()["own"].total_run_count == 1


def test_a_time_in_the_future_begins_anew(tmp_path: Path) -> None:
    _scheduler(tmp_path).close()
    path = tmp_path / "beat-schedule.json"
    content = json.loads(path.read_text())
    content["interval"]["last_run_at"] = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    path.write_text(json.dumps(content))
    assert _scheduler(tmp_path)._entries()["interval"].is_due().next <= 3600


def test_a_file_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    first = _scheduler(tmp_path)
    first.reserve(first._entries()["interval"])
    first.close()
    (tmp_path / "beat-schedule.json").chmod(0o666)
    assert _scheduler(tmp_path)._entries()["interval"].total_run_count == 0
