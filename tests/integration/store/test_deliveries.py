"""The way of a message: in its queue, in a worker's hold, or delayed, and never nowhere."""

from __future__ import annotations

import json
import time

import pytest
import redis

from celeriac.core.clock import now_ms
from celeriac.core.envelope import EnvelopeWriter, MessageOptions
from celeriac.store import keys
from celeriac.store.messages import deliveries, taking, worker_leases
from celeriac.store.messages.taking import Source, Taken
from celeriac.store.messages.worker_hold import WorkerHold
from celeriac.store.redis.runner import run_blocking
from tests.support.waiting import wait_until

#: A queue whose name has all that could confuse a parser: digits and a colon, line breaks, more than one byte a letter.
QUEUE = "7:Rüben\n\x06\x16 {x}"
SOURCE = Source(QUEUE, [QUEUE, f"{QUEUE}\x06\x163"])


def message(number: int) -> bytes:
    return json.dumps({"body": f"nümber {number}\n", "headers": {"id": f"job-{number}"}, "properties": {}}).encode()


def take_some(broker: redis.Redis, count: int, *sources: Source, receipt: str = "w/1", lease: int = 60_000) -> Taken:
    worker = receipt.rpartition("/")[0]
    call = taking.take(sources or (SOURCE,), worker=worker, receipt=receipt, count=count, lease_ms=lease)
    return run_blocking(broker, call)


def take(broker: redis.Redis, receipt: str = "w/1", *sources: Source, lease: int = 60_000) -> bytes | None:
    """The one message that is taken."""
    messages = take_some(broker, 1, *sources, receipt=receipt, lease=lease).messages
    return messages[0][1] if messages else None


def waiting(broker: redis.Redis, list_key: str = QUEUE) -> list[bytes]:
    """What is in the list, from the first to be taken to the last."""
    return broker.lrange(list_key, 0, -1)[::-1]


def test_what_is_taken_is_held_from_the_same_moment(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1))
    taken = take_some(broker, 1)
    assert taken.messages == [(QUEUE, message(1))]
    assert abs(taken.now_ms - now_ms()) < 5000
    assert broker.hkeys(keys.held("w")) == [b"w/1"]
    assert waiting(broker) == []


def test_the_order_is_that_of_priorities_and_then_of_arrival(broker: redis.Redis) -> None:
    other = Source("other", ["other", "other\x06\x163"])
    low = (QUEUE, message(5))
    broker.lpush(f"{QUEUE}\x06\x163", low[1])
    broker.lpush("other", message(3), message(4))
    broker.lpush(QUEUE, message(1), message(2))
    taken = [take_some(broker, 1, SOURCE, other, receipt=f"w/{n}").messages[0] for n in range(5)]
    assert taken == [(QUEUE, message(1)), (QUEUE, message(2)), ("other", message(3)), ("other", message(4)), low]


def test_many_are_taken_at_once_in_the_same_order_and_held_one_by_one(broker: redis.Redis) -> None:
    other = Source("other", ["other", "other\x06\x163"])
    broker.lpush(f"{QUEUE}\x06\x163", message(5))
    broker.lpush("other", message(3), message(4))
    broker.lpush(QUEUE, message(1), message(2))
    assert [m for _, m in take_some(broker, 4, SOURCE, other, receipt="w/9").messages] == [
        message(n) for n in (1, 2, 3, 4)
    ]
    assert sorted(broker.hkeys(keys.held("w"))) == [b"w/10", b"w/11", b"w/12", b"w/9"]
    assert run_blocking(broker, deliveries.put_back("w", "w/11", "first"))
    assert waiting(broker, "other") == [message(3)]


def test_a_thousand_times_many_fit_into_one_reply(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, *(message(n) for n in range(5000)))
    assert [m for _, m in take_some(broker, 5000).messages] == [message(n) for n in range(5000)]
    assert broker.hlen(keys.held("w")) == 5000


def test_asked_again_under_the_same_receipt_the_same_messages_are_handed_out(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, *(message(n) for n in range(12)))
    first = take_some(broker, 11)
    again = take_some(broker, 11)  # as a client does that lost the reply
    assert again.messages == first.messages == [(QUEUE, message(n)) for n in range(11)]
    assert waiting(broker) == [message(11)]


def test_an_empty_queue_says_when_there_will_be_something(broker: redis.Redis) -> None:
    assert take_some(broker, 1).next_due is None
    run_blocking(broker, deliveries.put_later(QUEUE, QUEUE, message(1), now_ms() + 5000))
    next_due = take_some(broker, 1).next_due
    assert next_due is not None
    assert 4 < next_due <= 5


def test_what_is_not_to_be_held_leaves_no_trace(broker: redis.Redis) -> None:
    broker.lpush("replies", message(1))
    assert take(broker, "w/1", Source("replies", ["replies"], held=False)) == message(1)
    assert broker.keys("*") == []


def test_a_delayed_message_comes_when_it_is_due_to_the_list_it_belongs_to(broker: redis.Redis) -> None:
    low = f"{QUEUE}\x06\x163"
    run_blocking(broker, deliveries.put_later(QUEUE, low, message(1), now_ms() - 1))
    run_blocking(broker, deliveries.put_later(QUEUE, low, message(2), now_ms() + 60_000))
    broker.lpush(low, message(0))
    assert [take(broker, f"w/{n}") for n in range(3)] == [message(0), message(1), None]
    assert broker.zcard(keys.delayed(QUEUE)) == 1


_OURS = EnvelopeWriter().write("noop", "this", b'{"id":"other","root_id":"other"}', MessageOptions(queue=QUEUE))
_CELERYS = b'{"headers": {"trace": {"id": "other"}, "id": "this", "task": "noop"}, "properties": {}}'


@pytest.mark.parametrize("written", [_OURS, _CELERYS], ids=["ours", "Celery's"])
def test_a_job_is_queued_once_its_delayed_message_is_due(broker: redis.Redis, written: bytes) -> None:
    for job in ("this", "other"):
        broker.hset(keys.record(job), mapping={"state": "scheduled", "delay_until": "1"})
    run_blocking(broker, deliveries.put_later(QUEUE, QUEUE, written, 1))
    assert take(broker) == written
    assert broker.hget(keys.record("this"), "state") == b"queued"
    assert not broker.hexists(keys.record("this"), "delay_until")
    assert broker.hget(keys.record("other"), "state") == b"scheduled"
    assert broker.xlen(keys.events("this")) == 1


_GARBAGE = [b'{"headers": {"id": %s}}' % value for value in (b"7", b"null", b"{}")]


@pytest.mark.parametrize("garbage", [b"no JSON", b"7", b"[]", b"{}", b'{"headers": 7}', *_GARBAGE])
def test_a_delayed_message_that_cannot_be_read_comes_all_the_same(broker: redis.Redis, garbage: bytes) -> None:
    run_blocking(broker, deliveries.put_later(QUEUE, QUEUE, garbage, 1))
    assert take(broker) == garbage


def test_a_message_is_given_back_as_the_first_or_the_last(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1), message(2), message(3))
    take(broker, "w/1")
    assert run_blocking(broker, deliveries.put_back("w", "w/1", "first"))
    assert waiting(broker) == [message(1), message(2), message(3)]
    take(broker, "w/2")
    assert run_blocking(broker, deliveries.put_back("w", "w/2", "last"))
    assert [json.loads(m)["body"] for m in waiting(broker)] == ["nümber 2\n", "nümber 3\n", "nümber 1\n"]
    assert json.loads(waiting(broker)[-1])["celeriac-redelivered"] == 0  # nobody vanished
    assert broker.exists(keys.held("w")) == 0


def test_a_message_is_given_back_together_with_what_came_of_it(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1), message(2))
    take(broker, "w/1")
    result = deliveries.PlainResult("result", b"failed", life_ms=0)
    call = deliveries.finish("w", [deliveries.Ending("w/1", result)], losses=1)
    assert run_blocking(broker, call) == {}
    assert run_blocking(broker, call) == {"w/1": ""}  # as a client does that lost the reply
    assert broker.get("result") == b"failed"
    assert [json.loads(m)["body"] for m in waiting(broker)] == ["nümber 2\n", "nümber 1\n"]
    assert json.loads(waiting(broker)[-1])["celeriac-redelivered"] == 1


def test_a_message_is_put_off(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1))
    take(broker, "w/1")
    due = now_ms() + 300
    assert run_blocking(broker, deliveries.put_off("w", "w/1", QUEUE, due))
    assert take(broker, "w/2") is None
    taken = wait_until(lambda: (t := take_some(broker, 1, receipt="w/2")).messages and t, "it is due")
    assert taken.messages == [(QUEUE, message(1))]
    assert taken.now_ms >= due


def test_when_a_lease_has_run_out_all_that_was_held_comes_back_in_order(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, *(message(n) for n in range(12)))
    for number in range(11):
        take(broker, f"gone/{number}", lease=100)
    brought_back = wait_until(lambda: run_blocking(broker, worker_leases.reclaim()), "the lease has run out")
    assert brought_back == {"gone": 11}
    assert [json.loads(m)["body"] for m in waiting(broker)] == [f"nümber {n}\n" for n in range(12)]
    assert broker.exists(keys.held("gone"), keys.LEASES) == 0


def test_a_lease_that_ran_out_while_nobody_could_look_lasts_a_little_longer(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1))
    take(broker, "late/1", lease=1)
    look = worker_leases.reclaim(lease_ms=1000)
    wait_until(lambda: (broker.zscore(keys.LEASES, "late") or 0) < now_ms(), "the lease has run out")  # type: ignore[operator]
    assert run_blocking(broker, look) == {}
    assert now_ms() < broker.zscore(keys.LEASES, "late") <= now_ms() + 500  # type: ignore[operator]
    assert wait_until(lambda: run_blocking(broker, look), "it has run out again") == {"late": 1}
    assert 0 < broker.pttl(keys.LOOKED) <= 1000


def test_a_lease_that_is_renewed_keeps_what_is_held(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1))
    take(broker, "w/1", lease=1000)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert run_blocking(broker, worker_leases.renew("w", 1000))
        assert run_blocking(broker, worker_leases.reclaim()) == {}
    assert broker.hkeys(keys.held("w")) == [b"w/1"]


def test_a_renewal_that_comes_too_late_says_so(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1))
    take(broker, "w/1", lease=1)
    wait_until(lambda: run_blocking(broker, worker_leases.reclaim()), "the lease has run out")
    assert not run_blocking(broker, worker_leases.renew("w", 1000))
    assert run_blocking(broker, worker_leases.renew("w", 1000))


def test_what_a_worker_held_that_is_known_to_have_ended_comes_back_at_once(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1), message(2))
    take(broker, "gone/1")
    take(broker, "here/1")
    assert run_blocking(broker, worker_leases.reclaim(["gone", "never was"])) == {"gone": 1}
    assert broker.hkeys(keys.held("here")) == [b"here/1"]


def test_a_late_acknowledgement_does_not_take_the_message_from_who_holds_it_now(broker: redis.Redis) -> None:
    first, second = WorkerHold(broker, "first", lease=60), WorkerHold(broker, "second", lease=60)
    broker.lpush(QUEUE, message(1))
    take(broker, "first/1")
    run_blocking(broker, worker_leases.reclaim(["first"]))
    take(broker, "second/1")
    assert not first.acknowledge("first/1")
    assert not first.put_back("first/1", "first")
    assert broker.hkeys(keys.held("second")) == [b"second/1"]
    assert second.acknowledge("second/1")
    assert broker.keys("*held*") == []


def test_after_a_reconnection_what_is_not_in_hand_is_given_back_in_order(broker: redis.Redis) -> None:
    holder = WorkerHold(broker, "w", lease=60)
    broker.lpush(QUEUE, *(message(n) for n in range(12)))
    for number in range(11):
        take(broker, f"w/{number}")
    assert holder.put_back_all_but({"w/3", "w/10"}) == 9
    assert sorted(broker.hkeys(keys.held("w"))) == [b"w/10", b"w/3"]
    assert waiting(broker) == [message(n) for n in (0, 1, 2, 4, 5, 6, 7, 8, 9, 11)]


def test_a_worker_that_ends_gives_back_all_and_its_lease(broker: redis.Redis) -> None:
    holder = WorkerHold(broker, "w", lease=60)
    broker.lpush(QUEUE, message(1))
    take(broker, "w/1")
    assert holder.workers() == ["w"]
    holder.release()
    assert holder.workers() == []
    assert len(waiting(broker)) == 1


def losses(broker: redis.Redis) -> list[int]:
    return [json.loads(m)["celeriac-redelivered"] for m in waiting(broker)]


def test_a_message_remembers_with_how_many_workers_it_was_lost(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1))
    for worker in ("one", "two"):
        take(broker, f"{worker}/1")
        run_blocking(broker, worker_leases.reclaim([worker]))
    assert losses(broker) == [2]
    take(broker, "three/1")
    assert run_blocking(broker, deliveries.put_back("three", "three/1", "last", lost=True))
    assert losses(broker) == [3]
    take(broker, "four/1")
    WorkerHold(broker, "four", lease=60).release()  # it ended in good order
    assert losses(broker) == [3]
    assert json.loads(waiting(broker)[0])["body"] == "nümber 1\n"


def test_the_receipts_of_what_was_brought_back_are_void_for_a_time(broker: redis.Redis) -> None:
    broker.lpush(QUEUE, message(1), message(2))
    take(broker, "gone/1")
    take(broker, "here/1")
    run_blocking(broker, worker_leases.reclaim(["gone"]))
    assert broker.zrange(keys.VOID, 0, -1) == [b"gone/1"]
    assert 0 < broker.pttl(keys.VOID) <= worker_leases.VOID_LIFE_MS
    broker.zadd(keys.VOID, {"long ago/1": now_ms() - worker_leases.VOID_LIFE_MS - 1})
    run_blocking(broker, worker_leases.reclaim(["here"]))
    assert broker.zrange(keys.VOID, 0, -1) == [b"gone/1", b"here/1"]


def claim(broker: redis.Redis, receipt: str, until: int) -> Taken:
    worker = receipt.rpartition("/")[0]
    call = taking.take([SOURCE], worker=worker, receipt=receipt, count=1, lease_ms=60_000, claim_until_ms=until)
    return run_blocking(broker, call)


def test_a_claim_is_met_once_while_its_worker_holds_nothing(broker: redis.Redis) -> None:
    assert run_blocking(broker, worker_leases.renew("w", 60_000)) is False
    broker.lpush(QUEUE, message(1), message(2))
    until = now_ms() + 60_000
    assert claim(broker, "w/1", until).messages == [(QUEUE, message(1))]
    refused = claim(broker, "w/2", until)
    assert (refused.messages, refused.next_due) == ([], 0)
    assert claim(broker, "w/1", 0).messages == [(QUEUE, message(1))]  # asked again, since the reply was lost
    assert waiting(broker) == [message(2)]


@pytest.mark.parametrize("lease", [None, 1])
def test_a_claim_of_a_worker_that_has_lost_its_lease_is_not_met(broker: redis.Redis, lease: int | None) -> None:
    if lease is not None:
        run_blocking(broker, worker_leases.renew("w", lease))
        wait_until(lambda: broker.zscore(keys.LEASES, "w") < _server_ms(broker), "a lease that has run out")
    broker.lpush(QUEUE, message(1))
    assert claim(broker, "w/1", now_ms() + 60_000).messages == []
    assert not broker.exists(keys.held("w"))


def test_a_claim_is_not_met_too_late_nor_renews_the_lease(broker: redis.Redis) -> None:
    run_blocking(broker, worker_leases.renew("w", 60_000))
    lease = broker.zscore(keys.LEASES, "w")
    broker.lpush(QUEUE, message(1))
    assert claim(broker, "w/1", _server_ms(broker) - 1).messages == []
    wait_until(lambda: _server_ms(broker) > lease - 60_000, "a later time")
    assert claim(broker, "w/2", now_ms() + 60_000).messages == [(QUEUE, message(1))]
    assert broker.zscore(keys.LEASES, "w") == lease


def _server_ms(broker: redis.Redis) -> int:
    seconds, micros = broker.time()
    return seconds * 1000 + micros // 1000


def test_a_message_whose_queue_is_a_key_of_another_type_is_not_lost(broker: redis.Redis) -> None:
    held = {"mail": message(1), "broken": message(2)}
    for n, (list_key, each) in enumerate(held.items(), 1):
        broker.lpush(list_key, each)
        assert take(broker, f"w/{n}", Source(list_key, [list_key])) == each
    broker.set("broken", "text")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        run_blocking(broker, deliveries.put_back("w", "w/2", "last"))
    assert run_blocking(broker, worker_leases.reclaim(["w"])) == {"w": 1}
    assert [json.loads(each)["headers"]["id"] for each in waiting(broker, "mail")] == ["job-1"]
    assert broker.hkeys(keys.held("w")) == [b"w/2"]
    broker.delete("broken")
    assert run_blocking(broker, worker_leases.reclaim()) == {"w": 1}
    assert [json.loads(each)["headers"]["id"] for each in waiting(broker, "broken")] == ["job-2"]
    assert broker.exists(keys.held("w")) == 0


def test_a_queue_that_is_a_key_of_another_type_keeps_nobody_from_taking_from_others(broker: redis.Redis) -> None:
    broken = Source("broken", ["broken"])
    broker.set("broken", "text")
    run_blocking(broker, deliveries.put_later(QUEUE, "broken", message(2), now_ms() - 1))
    broker.lpush(QUEUE, message(1))
    assert take_some(broker, 5, SOURCE, broken).messages == [(QUEUE, message(1))]
    assert broker.zcard(keys.delayed(QUEUE)) == 1
