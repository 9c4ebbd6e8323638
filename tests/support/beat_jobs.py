"""The contract suite's jobs, and schedules for beat."""

from celeriac import Settings
from tests.support import contract_jobs
from tests.support.contract_jobs import ContractJobs


def create(settings: Settings) -> ContractJobs:
    jobs = contract_jobs.create(settings)
    jobs.app.schedule("often", jobs.add.call(a=1), every=1)
    jobs.app.schedule("each minute", jobs.remember.call("each minute"), cron="* * * * *")
    jobs.app.schedule("elsewhere", jobs.remember.call("elsewhere"), every=1, queue="elsewhere")
    return jobs
