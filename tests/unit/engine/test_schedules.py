"""Schedules: intervals and cron expressions, as beat reads them."""

from datetime import timedelta
from typing import Any

import pytest
from celery.schedules import schedule

from celeriac import Call, ConfigurationError
from celeriac.core.job_options import JobOptions
from celeriac.core.spec import JobSpec
from celeriac.engine.cron import Cron
from celeriac.engine.schedules import beat_entry


def clean_up(days: int = 7) -> None: ...


def entry(queue: str | None = None, jobs_queue: str | None = None, **when: Any) -> dict[str, Any]:
    spec = JobSpec("shop.clean_up", clean_up, JobOptions(queue=jobs_queue))
    return beat_entry("nightly", Call(spec, b'{"days":30}'), queue=queue, **{"every": None, "cron": None, **when})


@pytest.mark.parametrize("every", [90, 90.0, timedelta(seconds=90)])
def test_an_interval(every: Any) -> None:
    assert entry(every=every) == {
        "task": "shop.clean_up",
        "schedule": schedule(timedelta(seconds=90)),
        "kwargs": {"days": 30},
    }


def test_a_cron_expression() -> None:
    assert entry(cron="*/5 8-18 * * mon-fri")["schedule"] == Cron("*/5 8-18 * * mon-fri")


@pytest.mark.parametrize(
    ("given", "jobs", "options"),
    [
        (None, None, None),
        ("mail", None, {"queue": "mail"}),
        (None, "slow", {"queue": "slow"}),
        ("a", "b", {"queue": "a"}),
    ],
)
def test_the_queue_is_the_one_given_else_the_jobs_own(given: str | None, jobs: str | None, options: Any) -> None:
    assert entry(queue=given, jobs_queue=jobs, every=1).get("options") == options


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({}, "give either `every`"),
        ({"every": 5, "cron": "* * * * *"}, "give either `every`"),
        *[({"every": every}, "must be positive") for every in (0, -1, timedelta(0), timedelta(days=-1), 1e-9)],
        *[({"every": every}, "is no length of time") for every in (float("nan"), float("inf"), 1e300)],
        *[
            ({"cron": cron}, "is not `minute hour day month weekday`")
            for cron in (
                "",
                "* * * *",
                "* * * * * *",
                "61 * * * *",
                "* 24 * * *",
                "* * 0 * *",
                "* * * 13 *",
                "x * * * *",
            )
        ],
        ({"cron": "* * * * funday"}, "is not `minute hour day month weekday`"),
        ({"cron": "0 0 30 2 *"}, "is not `minute hour day month weekday`: Bad day-of-month"),
        ({"cron": "0 0 31 apr,jun *"}, "is not `minute hour day month weekday`: Bad day-of-month"),
        ({"cron": "@daily"}, "is not `minute hour day month weekday`"),
        ({"cron": "*/0 * * * *"}, "is not `minute hour day month weekday`"),
        ({"cron": "0 3 * * *", "timezone": "Nowhere"}, "timezone='Nowhere' is no time zone"),
        ({"every": 5, "timezone": "UTC"}, "timezone='UTC' has a meaning for `cron` only"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_refused_with_its_name(when: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"schedule 'nightly': .*{message}"):
        entry(**when)
