"""Windows open and close by the clock of their zone, also on the days on which that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from celeriac.families.cleanup.windows import Window

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def window(hours: str, **more: Any) -> Window:
    return Window(hours=hours, timezone="Europe/Berlin", **more)


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "21:59"]),
        ("01:30-02:00", ["01:30", "01:59"], ["01:29", "02:00", "13:45"]),
        ("00:00-24:00", ["00:00", "12:00", "23:59"], []),
        ("18:00-24:00", ["18:00", "23:59"], ["00:00", "17:59"]),
        ("9:00-9:01", ["09:00"], ["09:01", "08:59"]),
    ],
)
def test_a_window_is_open_from_its_first_time_until_before_its_last(
    hours: str, open_at: list[str], closed_at: list[str]
) -> None:
    found = window(hours)
    assert [at for at in open_at if not found.is_open(berlin(f"2026-06-17 {at}"))] == []
    assert [at for at in closed_at if found.is_open(berlin(f"2026-06-17 {at}"))] == []


def test_a_window_belongs_to_the_day_on_which_it_begins() -> None:
    found = window("22:00-06:00", days=("fri",))  # 2026-06-19 is a Friday
    assert found.is_open(berlin("2026-06-19 22:00")) and found.is_open(berlin("2026-06-20 05:59"))
    assert not found.is_open(berlin("2026-06-19 05:00")) and not found.is_open(berlin("2026-06-20 22:00"))


def test_it_says_how_long_it_stays_closed() -> None:
    found = window("22:00-06:00", days=("sat",))
    assert found.opens_in(berlin("2026-06-19 22:00")) == 24 * 3600
    assert found.opens_in(berlin("2026-06-20 23:00")) == 0
    assert found.opens_in(berlin("2026-06-21 06:00")) == (6 * 24 + 16) * 3600
    hold = found.hold(berlin("2026-06-20 21:59"))
    assert hold is not None and (hold.reason, hold.seconds) == (
        "the window 22:00-06:00 sat Europe/Berlin is closed",
        60,
    )
    assert found.hold(berlin("2026-06-20 22:00")) is None


def seconds_open(found: Window, day: str) -> int:
    """Minutes of the 30 hours from that day's noon on in which the window is open, in seconds."""
    start = berlin(f"{day} 12:00").astimezone(UTC)
    return 60 * sum(found.is_open(start + timedelta(minutes=minute)) for minute in range(24 * 60))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 7), ("2026-06-17", 8), ("2026-10-24", 9)])
def test_a_night_has_the_hours_that_it_has(day: str, hours: int) -> None:
    assert seconds_open(window("22:00-06:00"), day) == hours * 3600


def test_a_beginning_that_is_skipped_is_the_end_of_the_gap() -> None:
    found = window("02:30-04:00")  # on 2026-03-29 the clocks go from 02:00 to 03:00
    assert not found.is_open(berlin("2026-03-29 01:59"))
    assert found.is_open(berlin("2026-03-29 03:00")) and not found.is_open(berlin("2026-03-29 04:00"))
    assert found.opens_in(berlin("2026-03-29 01:59")) == 60


def test_an_end_that_is_skipped_is_the_end_of_the_gap() -> None:
    found = window("01:00-02:30")
    assert found.is_open(berlin("2026-03-29 01:59")) and not found.is_open(berlin("2026-03-29 03:00"))


def test_a_window_that_is_skipped_as_a_whole_opens_the_next_day() -> None:
    found = window("02:10-02:50")
    assert found.opens_in(berlin("2026-03-29 00:00")) == (25 + 1) * 3600 + 10 * 60 - 3600
    assert seconds_open(found, "2026-03-28") == 0


def test_of_two_equal_times_the_first_counts() -> None:
    found = window("02:15-02:45")  # on 2026-10-25 these come twice
    assert found.is_open(berlin("2026-10-25 02:30", fold=0))
    assert not found.is_open(berlin("2026-10-25 02:30", fold=1))
    assert seconds_open(found, "2026-10-24") == 30 * 60


def test_a_gap_that_is_not_an_hour_is_found() -> None:
    found = Window(hours="02:10-05:00", timezone="Australia/Lord_Howe")  # 2026-10-04: from 02:00 to 02:30
    zone = ZoneInfo("Australia/Lord_Howe")
    assert found.is_open(datetime(2026, 10, 4, 2, 30, tzinfo=zone))
    assert not found.is_open(datetime(2026, 10, 4, 1, 59, tzinfo=zone))


@given(
    now=st.datetimes(datetime(2025, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),
    begin=st.integers(0, 1439),
    end=st.integers(0, 1439),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Chatham", "Asia/Kathmandu"]),
)
def test_when_it_opens_it_is_open_and_not_before(now: datetime, begin: int, end: int, zone: str) -> None:
    if begin == end:
        return
    found = Window(hours=f"{begin // 60}:{begin % 60:02}-{end // 60}:{end % 60:02}", timezone=zone)
    seconds = found.opens_in(now)
    assert found.is_open(now + timedelta(seconds=seconds))
    assert seconds == 0 or not found.is_open(now + timedelta(seconds=seconds, microseconds=-1))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("hours", "22:00", "no window"),
        ("hours", "22-06", "no window"),
        ("hours", "22:00-06:60", "no window"),
        ("hours", "25:00-06:00", "no window"),
        ("hours", "-1:00-06:00", "no window"),
        ("hours", "٢٢:00-06:00", "no window"),
        ("hours", "06:00-06:00", "begins when it ends"),
        ("timezone", "Europe/Nowhere", "no time zone"),
        ("timezone", "../../etc/passwd", "no time zone"),
        ("days", [], "at least 1"),
        ("days", ["monday"], "mon"),
        ("extra", 1, "not permitted"),
    ],
)
def test_what_is_no_window_is_refused_with_what_is_expected(field: str, value: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Window.model_validate({field: value})
