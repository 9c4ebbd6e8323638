"""How one job is delivered: when it is due, and options that do not go together."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from celeriac.client.options import NO_OPTIONS, EnqueueOptions

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize("options", [NO_OPTIONS, EnqueueOptions(delay=0), EnqueueOptions(delay=timedelta(0))])
def test_a_job_without_delay_is_due_at_once(options: EnqueueOptions) -> None:
    assert options.due() is None


@pytest.mark.parametrize("delay", [90, 90.0, timedelta(seconds=90)])
def test_a_delay_counts_from_now(delay: Any) -> None:
    before = datetime.now(UTC)
    due = EnqueueOptions(delay=delay).due()
    assert due is not None
    assert before <= due - timedelta(seconds=90) <= datetime.now(UTC)


@pytest.mark.parametrize("at", [NOON, NOON.astimezone(timezone(timedelta(hours=9)))])
def test_a_time_is_kept_as_utc(at: datetime) -> None:
    due = EnqueueOptions(at=at).due()
    assert due == NOON
    assert due.tzinfo is UTC


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": NOON, "delay": 5}, "give `delay` or `at`, not both"),
        ({"at": NOON, "delay": 0}, "give `delay` or `at`, not both"),
        ({"at": NOON.replace(tzinfo=None)}, "`at` needs a time zone"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnqueueOptions(**options).due()


@pytest.mark.parametrize("priority", [-1, 10, "5"])
def test_priorities_that_there_are_not_are_refused(priority: Any) -> None:
    with pytest.raises(ValueError, match="give a whole number from 0 to 9; higher runs first"):
        EnqueueOptions(priority=priority)
