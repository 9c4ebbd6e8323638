"""The jobs of the HTTP tests: those of the contract suite, and some that misbehave."""

from __future__ import annotations

from typing import Any

from celeriac import Celeriac, JobContext, Settings, builtin
from tests.support.contract_jobs import ContractJobs

#: As `os.listdir` gives it for a file that was named in another encoding than this system's.
FILE_NAME = "M\udcfcnchen"


def create(settings: Settings) -> ContractJobs:
    """The application of the settings."""
    app = Celeriac("http", settings=settings)
    builtin.register(app)
    jobs = ContractJobs(app)

    async def nothing(job: JobContext) -> None:
        """Takes no arguments, and returns nothing."""

    async def odd(job: JobContext, what: str) -> Any:
        """Reports, returns or fails with what JSON has no word for."""
        match what:
            case "progress":
                job.progress(float("nan"))
            case "progress text":
                job.progress(1, 2, FILE_NAME)
            case "failure":
                raise FileNotFoundError(FILE_NAME)
            case "text":
                return FILE_NAME
            case "integer":
                return 10**30
            case "number":
                return float("nan")
        return None

    jobs.app.job(name="nothing")(nothing)
    jobs.app.job(name="odd")(odd)
    return jobs
