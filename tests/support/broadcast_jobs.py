"""The contract suite's jobs, and a task that every worker runs."""

from kombu import Queue
from kombu.common import Broadcast

from celeriac import Settings
from tests.support import contract_jobs
from tests.support.contract_jobs import ContractJobs


def create(settings: Settings) -> ContractJobs:
    jobs = contract_jobs.create(settings)
    jobs.app.conf.task_queues = [Queue("celery"), Broadcast("everyone")]

    @jobs.app.task(name="reload", shared=False)
    def reload(key: str) -> None:
        jobs.trace.add(key, "reloaded")

    return jobs
