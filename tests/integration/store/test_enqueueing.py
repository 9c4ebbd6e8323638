"""Accepting jobs on a real server: all or none, once although asked twice, few steps for many jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from celeriac.store import keys
from celeriac.store.jobs.enqueueing import Accepted, FanOut, Idempotency, JobKind, NewJob, enqueue
from celeriac.store.redis.runner import run_blocking
from celeriac.store.scripts.script import ScriptCall

MAIL = JobKind(task="t", queue="mail", list_key="mail")


def job(job_id: str, kind: JobKind = MAIL) -> NewJob:
    return NewJob(kind, job_id, f"message of {job_id}".encode(), json.dumps({"id": job_id}).encode())


def accept(broker: redis.Redis, call: ScriptCall[Accepted]) -> str:
    return run_blocking(broker, call).verdict


def answer(broker: redis.Redis, call: ScriptCall[Accepted]) -> tuple[str, str]:
    accepted = run_blocking(broker, call)
    return accepted.verdict, accepted.detail


def waiting(broker: redis.Redis, list_key: str = "mail") -> list[str]:
    """Whose messages wait in a list, the next one first."""
    return [message.decode().removeprefix("message of ") for message in reversed(broker.lrange(list_key, 0, -1))]


def record(broker: redis.Redis, job_id: str) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in broker.hgetall(keys.record(job_id)).items()}


def test_jobs_wait_in_the_order_in_which_they_were_accepted_with_records_of_their_own(broker: redis.Redis) -> None:
    assert accept(broker, enqueue([job("a"), job("b"), job("c")])) == "accepted"
    assert waiting(broker) == ["a", "b", "c"]
    for job_id in ("a", "b", "c"):
        known = record(broker, job_id)
        assert (known["state"], known["task"], known["queue"], json.loads(known["arguments"])) == (
            *("queued", "t", "mail"),
            {"id": job_id},
        )
        assert known["created"] and "updated" not in known  # nothing has changed since
        assert broker.zscore(keys.JOB_INDEX, job_id) == int(known["created"])
        assert broker.pttl(keys.record(job_id)) > 29 * 86_400_000


def test_one_call_takes_jobs_of_many_kinds(broker: redis.Redis) -> None:
    due = datetime.now(UTC) + timedelta(days=40)
    last = JobKind(task="other", queue="mail", list_key="mail\x06\x169", priority=0)
    delayed = JobKind(task="later", queue="media", list_key="media", delay_until=due, parent_id="p")
    jobs = [job("a"), job("b", last), job("c", delayed), job("d"), job("e", last)]
    assert accept(broker, enqueue(jobs)) == "accepted"
    assert (waiting(broker), waiting(broker, "mail\x06\x169"), waiting(broker, "media")) == (["a", "d"], ["b", "e"], [])
    assert broker.zrange(keys.delayed("media"), 0, -1, withscores=True) == [
        (b"5:mediamessage of c", int(due.timestamp() * 1000))
    ]
    assert (record(broker, "b")["task"], record(broker, "b")["priority"]) == ("other", "0")
    assert "priority" not in record(broker, "a")
    assert (record(broker, "c")["state"], record(broker, "c")["parent"]) == ("scheduled", "p")
    assert broker.pttl(keys.record("c")) > 69 * 86_400_000, "its delay counts too"
    assert broker.xlen(keys.events("c")) == 1
    assert broker.exists(keys.events("a")) == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_request_that_is_sent_again_because_its_reply_was_lost_adds_nothing(broker: redis.Redis, count: int) -> None:
    call = enqueue([job(f"{n}") for n in range(count)])
    assert [accept(broker, call), accept(broker, call)] == ["accepted", "accepted"]
    assert broker.llen("mail") == count
    assert broker.zcard(keys.JOB_INDEX) == count


def test_of_a_call_that_was_accepted_in_part_the_rest_is_accepted_by_the_next(broker: redis.Redis) -> None:
    accept(broker, enqueue([job("a"), job("b")]))
    assert accept(broker, enqueue([job("a"), job("b"), job("c")])) == "accepted"
    assert waiting(broker) == ["a", "b", "c"]


def test_an_id_that_was_given_to_another_job_is_not_given_again(broker: redis.Redis) -> None:
    first = enqueue([job("a")])
    accept(broker, first)
    broker.hset(keys.record("a"), "created", 1)
    assert answer(broker, enqueue([job("a")])) == ("exists", "a")
    assert waiting(broker) == ["a"]


def test_an_idempotency_key_stands_for_one_request(broker: redis.Redis) -> None:
    def ask(job_id: str, fingerprint: str) -> tuple[str, str]:
        return answer(broker, enqueue([job(job_id)], idempotency=Idempotency("key", fingerprint, 60_000)))

    assert ask("a", "f00d") == ("accepted", "")
    assert ask("b", "f00d") == ("repeated", "a")
    assert ask("c", "beef") == ("conflict", "a")
    assert waiting(broker) == ["a"]
    assert 0 < broker.pttl(keys.idempotency("key")) <= 60_000


def test_more_children_than_lua_can_unpack_are_accepted_in_one_step(broker: redis.Redis) -> None:
    accept(broker, enqueue([job("parent")]))
    broker.hset(keys.record("parent"), mapping={"state": "running", "run": 1})
    kind = JobKind(task="t", queue="mail", list_key="mail", parent_id="parent")
    children = [job(f"{n}", kind) for n in range(10_000)]
    fan_out = FanOut("parent", 1, "mail", '{"resumes": "☃ \\" it"}'.encode())
    assert accept(broker, enqueue(children, fan_out=fan_out)) == "accepted"
    assert waiting(broker)[1:] == [child.id for child in children]
    assert broker.zcard(keys.JOB_INDEX) == 10_001
    parent = record(broker, "parent")
    assert (parent["children"], parent["open"]) == ("10000", "10000")
    assert (parent["resume"], parent["resume_queue"]) == ('{"resumes": "☃ \\" it"}', "mail")


def test_many_jobs_take_few_commands(broker: redis.Redis) -> None:
    def commands() -> int:
        stats: dict[str, Any] = broker.info("commandstats")  # type: ignore[assignment]
        return sum(stat["calls"] for name, stat in stats.items() if name.startswith("cmdstat_"))

    before = commands()
    accept(broker, enqueue([job(f"{n}") for n in range(250)]))
    assert commands() - before < 4 * 250  # other tests' workers ask the server too, now and then


@pytest.mark.parametrize("name", ['quo"ted', "back\\slash", "Zoë ☃", "a b", "\x06\x16"])
def test_names_reach_the_server_as_they_are(broker: redis.Redis, name: str) -> None:
    kind = JobKind(task=name, queue=name, list_key=name)
    assert accept(broker, enqueue([job("a", kind)])) == "accepted"
    assert (record(broker, "a")["task"], record(broker, "a")["queue"]) == (name, name)
    assert waiting(broker, name) == ["a"]
