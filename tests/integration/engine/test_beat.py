"""Schedules, with the real `celery beat`."""

from __future__ import annotations

from pathlib import Path

import pytest

from celeriac import Celeriac, ConfigurationError, JobState
from tests.conftest import StartWorker, worker_environment
from tests.support.contract_jobs import ContractJobs
from tests.support.running import running
from tests.support.waiting import eventually


async def test_beat_enqueues_what_is_due(
    jobs: ContractJobs, start: StartWorker, broker_url: str, tmp_path: Path
) -> None:
    start("tests.support.beat_jobs", pool="solo")
    environment = worker_environment("tests.support.beat_jobs", broker_url, tmp_path)
    command = ["-m", "celery", "-A", "tests.support.celery_main", "beat", "--loglevel=info"]
    async with running([*command, "-s", str(tmp_path / "schedule")], environment=environment) as beat:
        await beat.printed(r"Scheduler: Sending due task often \(add\)")

        async def two_have_run() -> bool:
            records, _ = await jobs.app.client.page(
                matches=lambda record: record.task == "add" and record.state is JobState.SUCCEEDED
            )
            return len(records) >= 2

        await eventually(two_have_run)
        queues, _ = await jobs.app.client.page(matches=lambda record: record.queue == "elsewhere")
        assert {record.state for record in queues} == {JobState.QUEUED}


async def test_a_cron_schedule_is_read_as_cron_writes_it(app: Celeriac) -> None:
    @app.job(name="nightly")
    async def nightly(days: int) -> None: ...

    app.schedule("nightly", nightly.call(days=30), cron="15 3 * * mon-fri")
    entry = app.conf.beat_schedule["nightly"]
    assert (entry["task"], entry["kwargs"]) == ("nightly", {"days": 30})
    schedule = entry["schedule"]
    assert (schedule.minute, schedule.hour, schedule.day_of_week) == ({15}, {3}, {1, 2, 3, 4, 5})


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        ({}, "give either `every`"),
        ({"every": 1, "cron": "* * * * *"}, "give either `every`"),
        ({"every": 0}, "every=0 must be positive"),
        ({"every": -1.5}, r"every=-1\.5 must be positive"),
        ({"cron": "61 * * * *"}, "cron='61 [*] [*] [*] [*]' is not `minute hour day month weekday`"),
        ({"cron": "* * * *"}, "is not `minute hour day month weekday`"),
        ({"cron": ""}, "is not `minute hour day month weekday`"),
    ],
)
async def test_a_schedule_that_is_none_is_refused_by_name(app: Celeriac, timing: dict[str, object], said: str) -> None:
    @app.job(name="nightly")
    async def nightly() -> None: ...

    with pytest.raises(ConfigurationError, match=rf"schedule 'nightly': .*{said}"):
        app.schedule("nightly", nightly.call(), **timing)  # type: ignore[arg-type]
