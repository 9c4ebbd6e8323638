"""beat's schedule, remembered as JSON: Celery's own memory is a pickle, which is run as code when it is read."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.utils.log import get_logger

from celeriac.core.files import OTHERS_WRITE, write_private

_log = get_logger(__name__)


class RememberingScheduler(Scheduler):
    """Celery's scheduler, which remembers when each entry was last sent, over restarts, in `<schedule file>.json`.

    An entry whose schedule has changed since begins anew, as a new one does.
    """

    def __init__(self, *args: Any, schedule_filename: str, **kwargs: Any) -> None:
        self._path = Path(f"{schedule_filename}.json")
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        super().setup_schedule()
        for name, remembered in _read(self._path).items():
            entry = self._entries().get(name)
            if entry is not None and remembered.get("schedule") == _fingerprint(entry):
                _restore(entry, remembered)
        self.sync()

    def sync(self) -> None:
        """Write down what is to be remembered; called every three minutes, and at the end."""
        content = {
            name: {
                "schedule": _fingerprint(entry),
                "last_run_at": entry.last_run_at.astimezone(UTC).isoformat(),
                "total_run_count": entry.total_run_count,
            }
            for name, entry in self._entries().items()
        }
        try:
            write_private(self._path, json.dumps(content, indent=1))
        except OSError as error:
            _log.error("beat: cannot write %s: %s; after a restart, entries begin anew", self._path, error.strerror)

    @property
    def info(self) -> Any:
        return f"    . db -> {self._path}"

    def _entries(self) -> dict[str, Any]:
        return self.schedule or {}


def _fingerprint(entry: ScheduleEntry) -> str:
    """What is the same over restarts while the schedule is; an address in memory is not."""
    kind = type(entry.schedule)
    shows_itself = kind.__repr__ is not object.__repr__
    return repr(entry.schedule) if shows_itself else f"{kind.__module__}.{kind.__qualname__}"


def _restore(entry: Any, remembered: dict[str, Any]) -> None:
    try:
        last, count = datetime.fromisoformat(remembered["last_run_at"]), int(remembered["total_run_count"])
        if last > datetime.now(UTC):
            raise ValueError("it is in the future")  # the clock was wrong; the entry would not be due before
        entry.last_run_at = last.astimezone(entry.last_run_at.tzinfo)
        entry.total_run_count = count
    except (KeyError, TypeError, ValueError):
        _log.warning("beat: what was remembered of %r cannot be read; it begins anew", entry.name)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """What was remembered; nothing if there is no such file, or it cannot be read or trusted."""
    try:
        with path.open() as file:
            status = os.fstat(file.fileno())
            if status.st_uid not in (os.geteuid(), 0) or status.st_mode & OTHERS_WRITE:
                raise ValueError("others can write to it")
            content = json.load(file)
        if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            raise ValueError("it is no schedule")
        return content  # pyright: ignore[reportUnknownVariableType]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("beat: %s is not used: %s; all entries begin anew", path, error)
        return {}
