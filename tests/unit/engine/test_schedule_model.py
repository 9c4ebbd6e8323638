"""Schedules in definitions of job families: a wrong one is refused when it is read, and says what to change."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from celeriac.engine.schedule_model import Schedule


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ({"cron": "never"}, "cron", "'never' is not `minute hour day month weekday`: give five fields"),
        ({"cron": "99 * * * *"}, "cron", "'99 * * * *' is not `minute hour day month weekday`"),
        ({"cron": "0 0 30 2 *"}, "cron", "Bad day-of-month"),
        ({"cron": "0 3 * * *", "timezone": "Mars/Olympus"}, "timezone", "'Mars/Olympus' is no time zone"),
        ({"cron": "0 3 * * *", "timezone": "../etc/passwd"}, "timezone", "is no time zone"),
        ({"every": "15"}, "every", "expected a number with a unit: 90d"),
        ({"every": "0min"}, "every", "greater than 0"),
        ({"every": 0}, "every", "greater than 0"),
        ({"every": float("inf")}, "every", "finite"),
        ({"every": 60, "timezone": "Europe/Berlin"}, "", "`timezone` has a meaning for `cron` only"),
        ({"every": 60, "cron": "0 3 * * *"}, "", "give either `cron` or `every`"),
        ({}, "", "give either `cron` or `every`"),
        ({"crom": "0 3 * * *"}, "crom", "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_schedule_names_what_is_wrong(given: dict[str, Any], place: str, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Schedule.model_validate(given)
    (fault,) = refused.value.errors() if place != "crom" else refused.value.errors()[:1]
    assert ".".join(map(str, fault["loc"])) == place
    assert told in fault["msg"]


def test_it_is_told_in_words() -> None:
    assert str(Schedule(cron="0  3 * * *", timezone="Europe/Berlin")) == "cron 0 3 * * * Europe/Berlin"
    assert str(Schedule(cron="0 3 * * *")) == "cron 0 3 * * *"
    assert str(Schedule(every=1800)) == "every 1800 s"
    assert Schedule.model_validate({"every": "30min"}) == Schedule(every=1800)
