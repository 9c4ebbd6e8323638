"""Jobs that ask to be run later, where jobs run in their caller's process."""

from pathlib import Path

from pydantic import SecretStr

from celeriac import Celeriac, JobContext, Retry, RunLater, Settings
from celeriac.testing import in_process


async def test_a_job_is_run_later_without_an_attempt(tmp_path: Path) -> None:
    app = Celeriac("shop", settings=Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path))
    with in_process(app) as jobs:

        @app.job(retry=Retry(attempts=1))
        async def waits(job: JobContext) -> int:
            if len(jobs.of(job.id).retry_delays) < 2:
                raise RunLater(60)
            return job.attempt

        handle = await waits.enqueue()
        assert await handle.result() == 1
        assert jobs.of(handle.id).retry_delays == [60, 60]
