"""Schedules, with the real `celery beat`."""

from __future__ import annotations

from pathlib import Path

from celeriac import JobState
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import StartWorker, worker_environment
from tests.support.running import running
from tests.support.waiting import eventually


async def test_beat_enqueues_what_is_due(
    jobs: ContractJobs, start: StartWorker, broker_url: str, tmp_path: Path
) -> None:
    start("tests.support.beat_jobs", pool="solo")
    environment = worker_environment("tests.support.beat_jobs", broker_url, tmp_path)
    command = ["-m", "celery", "-A", "tests.support.celery_main", "beat", "--loglevel=info"]
    async with running([*command, "-s", str(tmp_path / "schedule")], environment=environment) as beat:
        await beat.printed(r"Scheduler: Sending due task often \(add\)", within=60)

        async def two_have_run() -> bool:
            records, _ = await jobs.app.client.page(
                matches=lambda record: record.task == "add" and record.state is JobState.SUCCEEDED
            )
            return len(records) >= 2

        await eventually(two_have_run, within=60)
        queues, _ = await jobs.app.client.page(matches=lambda record: record.queue == "elsewhere")
        assert {record.state for record in queues} == {JobState.QUEUED}
