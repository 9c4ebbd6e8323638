"""Records of jobs whose messages Celery publishes: message first, record second."""

from __future__ import annotations

import redis

from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import enqueueing
from celeriac.store.jobs.beginnings import Beginning, Permit, begin
from celeriac.store.redis.runner import run_blocking

_KIND = enqueueing.JobKind(task="shop.add", queue="celery", list_key="celery")
_JOB = enqueueing.NewJob(_KIND, "a-job", message=b"", arguments=b'{"a":1}')


def test_a_published_job_is_recorded(broker: redis.Redis) -> None:
    assert run_blocking(broker, enqueueing.publish(_JOB)) is True
    assert broker.hmget(keys.record("a-job"), "state", "arguments") == [b"queued", b'{"a":1}']


def test_a_job_that_a_worker_began_before_it_was_recorded_has_its_arguments_too(broker: redis.Redis) -> None:
    beginning = Beginning(job_id="a-job", task="shop.add", queue="celery", worker="w", receipt="", retention_ms=60_000)
    assert run_blocking(broker, begin([beginning])) == [Permit("run", 1)]
    assert run_blocking(broker, enqueueing.publish(_JOB)) is False
    recorded = broker.hmget(keys.record("a-job"), "state", "arguments")
    assert recorded == [JobState.RUNNING.value.encode(), b'{"a":1}'], "else it could not be run again by hand"
