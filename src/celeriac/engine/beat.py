"""Remembers beat's schedule as JSON. Celery uses a pickle, which can run any code when it is read."""

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
    """Celery's scheduler, which remembers across restarts, in `<schedule file>.json`, when it last sent each entry.

    An entry whose schedule was changed starts again, like a new one.
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
        """Write the file. Celery calls this every three minutes, and at the end."""
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
            _log.error(
                "beat: cannot write %s: %s; after a restart, all entries start again", self._path, error.strerror
            )

    @property
    def info(self) -> Any:
        return f"    . db -> {self._path}"

    def _entries(self) -> dict[str, Any]:
        return self.schedule or {}


def _fingerprint(entry: ScheduleEntry) -> str:
    """Return a text that changes only when the schedule does. The default `repr` would not, with its memory address."""
    kind = type(entry.schedule)
    shows_itself = kind.__repr__ is not object.__repr__
    return repr(entry.schedule) if shows_itself else f"{kind.__module__}.{kind.__qualname__}"


def _restore(entry: Any, remembered: dict[str, Any]) -> None:
    try:
        last, count = datetime.fromisoformat(remembered["last_run_at"]), int(remembered["total_run_count"])
        if last > datetime.now(UTC):
            raise ValueError("it is in the future")  # the clock was wrong, and the entry would not be due until then
        entry.last_run_at = last.astimezone(entry.last_run_at.tzinfo)
        entry.total_run_count = count
    except (KeyError, TypeError, ValueError):
        _log.warning("beat: the remembered state of %r cannot be read; the entry starts again", entry.name)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Read the remembered entries. Returns none if the file does not exist, or cannot be read or trusted."""
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
        _log.warning("beat: %s is not used: %s; all entries start again", path, error)
        return {}
