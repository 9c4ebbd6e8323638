"""Limits hold over all processes, take together or not at all, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from celeriac import Celeriac, Limit, Refused, Taken
from celeriac.store import keys
from celeriac.store import limits as store
from celeriac.store.redis.runner import run_blocking
from celeriac.testing import in_process
from tests.support.workers import ROOT

ONE = Limit("one", concurrency=1)
DAY_MS = 86_400_000

pytestmark = pytest.mark.usefixtures("no_key_leaks")


async def taken(app: Celeriac, *limits: Limit, units: int = 1, hold_seconds: float = 60) -> Taken:
    answer = await app.limits.take(limits, units=units, hold_seconds=hold_seconds)
    assert isinstance(answer, Taken), answer
    return answer


async def refused(app: Celeriac, *limits: Limit) -> Refused:
    answer = await app.limits.take(limits)
    assert isinstance(answer, Refused)
    return answer


def now(broker: redis.Redis) -> float:
    seconds, microseconds = broker.time()  # type: ignore[misc]
    return seconds + microseconds / 1_000_000


async def test_a_slot_is_held_until_it_is_released(app: Celeriac) -> None:
    first = await taken(app, ONE)
    assert (await refused(app, ONE)).limit == "one"
    await first.release()
    async with await taken(app, ONE):
        await refused(app, ONE)
    second = await taken(app, ONE)
    await first.release()  # once more: it does not release the other's slot
    await refused(app, ONE)
    await second.release()


async def test_all_limits_are_taken_or_none(app: Celeriac, broker: redis.Redis) -> None:
    rate, daily = Limit("rate", rate=0.001, burst=10), Limit("daily", daily=10)
    async with await taken(app, ONE):
        before = [broker.hget(keys.bucket("rate"), "tokens"), broker.hget(keys.bucket("daily"), "used")]
        assert (await refused(app, rate, daily, ONE)).limit == "one"
        after = [broker.hget(keys.bucket("rate"), "tokens"), broker.hget(keys.bucket("daily"), "used")]
    assert before == after == [None, None]
    assert (await taken(app, rate, daily, ONE, units=20)).units == 10


async def test_as_many_units_are_granted_as_every_limit_has(app: Celeriac) -> None:
    rate, daily = Limit("rate", rate=0.00001, burst=5), Limit("daily", daily=7)
    assert (await taken(app, rate, daily, units=20)).units == 5
    assert (await taken(app, daily, units=20)).units == 2
    assert (await refused(app, rate, daily)).limit == "rate"  # for longer than a day
    assert 86_400 < (await refused(app, rate)).seconds <= 100_010
    assert (await refused(app, daily)).seconds <= 86_410


async def test_no_more_than_rate_and_burst_are_granted(app: Celeriac, broker: redis.Redis) -> None:
    limit = Limit("rate", rate=200, burst=3)
    start, granted = now(broker), 0
    while granted < 60:
        match await app.limits.take([limit], units=2):
            case Refused(seconds=seconds):
                assert seconds > 0
                await asyncio.sleep(seconds)
            case Taken(units=units):
                granted += units
        assert granted <= 3 + 200 * (now(broker) - start) + 1


async def test_a_day_begins_anew_at_midnight_utc(app: Celeriac, broker: redis.Redis) -> None:
    limit = Limit("daily", daily=3)
    old = await taken(app, limit, units=3)
    seconds = (await refused(app, limit)).seconds
    assert abs(seconds - (86_400 - now(broker) % 86_400)) < 60
    broker.hincrby(keys.bucket("daily"), "day", -1)  # a night has passed
    assert (await taken(app, limit, units=2)).units == 2
    broker.set(keys.grant(old._id), "3 1", keepttl=True)
    await old.release(unused=3)  # of the day before
    assert (await taken(app, limit, units=5)).units == 1


async def test_a_block_gives_back_at_its_end_what_it_says_it_has_not_used(app: Celeriac) -> None:
    limit = Limit("daily", daily=10, concurrency=1)
    async with await taken(app, limit, units=10) as first:
        first.unused = 4
        await refused(app, limit)
    assert (await taken(app, limit, units=10)).units == 4


async def test_a_closed_limit_grants_nothing_to_anybody_until_its_time_is_over(
    app: Celeriac, broker: redis.Redis
) -> None:
    patience, other = Limit("patience", rate=100, concurrency=5), Limit("other", daily=10)
    held = await taken(app, patience)
    await app.limits.close([patience], seconds=600)
    await app.limits.close([patience], seconds=60)  # the later one counts
    answer = await refused(app, other, patience)
    assert answer.limit == "patience" and 595 < answer.seconds < 620
    assert await held.renew(), "what was taken before is still held"
    assert (await taken(app, other, units=10)).units == 10, "and the refusal took nothing of the other"
    assert 595_000 < broker.pttl(keys.bucket("patience")) <= 700_000  # type: ignore[operator]
    broker.hset(keys.bucket("patience"), "closed", int(1000 * now(broker)) - 1)  # its time is over
    assert (await taken(app, patience)).units == 1


async def test_a_closed_limit_says_how_long_and_is_opened_again(app: Celeriac) -> None:
    patience, other = Limit("patience", rate=100, concurrency=5), Limit("other", daily=10)
    assert await app.limits.closed([patience, other]) == {}
    await app.limits.close([patience], seconds=86_400)
    await refused(app, patience)
    left = await app.limits.closed([other, patience])
    assert list(left) == ["patience"] and 86_300 < left["patience"] <= 86_400
    assert await app.limits.reopen([other, patience]) == pytest.approx(left, abs=60)
    assert await app.limits.closed([other, patience]) == await app.limits.reopen([patience]) == {}
    assert (await taken(app, patience, units=50)).units == 50
    for call in (app.limits.closed, app.limits.reopen):
        with pytest.raises(ValueError, match=r"\(limits="):
            await call([])


@pytest.mark.parametrize("seconds", [0, -1, 86_401, float("nan")])
async def test_a_limit_cannot_be_closed_for_no_time_or_for_ever(app: Celeriac, seconds: float) -> None:
    with pytest.raises(ValueError, match=r"close\(seconds="):
        await app.limits.close([ONE], seconds)
    with pytest.raises(ValueError, match=r"close\(limits="):
        await app.limits.close([], 1)


async def test_unused_units_go_back_once(app: Celeriac) -> None:
    rate, daily = Limit("rate", rate=0.001, burst=10), Limit("daily", daily=10)
    first = await taken(app, rate, daily, units=10)
    await first.release(unused=4)
    await first.release(unused=4)
    assert (await taken(app, rate, daily, units=10)).units == 4
    with pytest.raises(ValueError, match="unused=11"):
        await first.release(unused=11)


async def test_a_changed_limit_holds_from_the_next_take_on(app: Celeriac) -> None:
    await taken(app, Limit("l", concurrency=1))
    await refused(app, Limit("l", concurrency=1))
    await taken(app, Limit("l", concurrency=2))
    await refused(app, Limit("l", concurrency=2))
    await refused(app, Limit("l", concurrency=1))
    await taken(app, Limit("l", rate=0.001, burst=1))
    await refused(app, Limit("l", rate=0.001, burst=1))
    assert (await refused(app, Limit("l", rate=0.1, burst=1))).seconds <= 11
    assert (await taken(app, Limit("l", daily=2), units=9)).units == 2
    assert (await taken(app, Limit("l", daily=5), units=9)).units == 3


async def test_a_slot_is_renewed_while_its_block_runs(app: Celeriac, broker: redis.Redis) -> None:
    async with await taken(app, ONE, hold_seconds=2):
        first = last = broker.zrange(keys.slots("one"), 0, -1, withscores=True)[0][1]  # type: ignore[index]
        while last < first + 2_000:  # longer than it would hold by itself
            last = broker.zrange(keys.slots("one"), 0, -1, withscores=True)[0][1]  # type: ignore[index]
            await refused(app, ONE)
            await asyncio.sleep(0.05)
    assert not broker.exists(keys.slots("one"))


async def test_what_has_run_out_cannot_be_renewed(app: Celeriac, broker: redis.Redis) -> None:
    first = await taken(app, ONE)
    assert await first.renew() is True
    broker.zadd(keys.slots("one"), {first._id: 1})  # the server's clock has passed its time
    await taken(app, ONE)
    assert await first.renew() is False
    await refused(app, ONE)


async def test_a_call_that_is_sent_twice_takes_once(broker: redis.Redis) -> None:
    limits = [ONE, Limit("daily", daily=10)]
    call = store.take("me", limits, units=6, hold_ms=60_000)
    assert [run_blocking(broker, call) for _ in range(2)] == [6, 6]
    assert broker.hget(keys.bucket("daily"), "used") == b"6"
    give_back = store.release("me", limits, unused=5)
    assert [run_blocking(broker, give_back) for _ in range(2)] == [True, False]
    assert broker.hget(keys.bucket("daily"), "used") == b"1"


@pytest.mark.parametrize(
    "limit", [ONE, Limit("rate", rate=50, burst=1), Limit("slow", rate=0.01, burst=1), Limit("daily", daily=1)]
)
async def test_refused_askers_come_back_at_different_times(app: Celeriac, limit: Limit) -> None:
    await taken(app, limit)
    answers = [await app.limits.take([limit]) for _ in range(300)]
    waits = sorted(answer.seconds for answer in answers if isinstance(answer, Refused))
    assert len(waits) > 200
    crowd = max(sum(start <= wait < start + 0.1 for wait in waits) for start in waits)
    assert crowd <= 60, waits
    assert waits[-1] - waits[0] < 11  # and none is forgotten


async def test_every_asker_has_its_turn(app: Celeriac) -> None:
    """Ten askers of one slot: each gets it, although all ask again and again."""
    limit, shares = Limit("fair", rate=400, burst=1, concurrency=1), dict.fromkeys(range(10), 0)

    async def ask(number: int) -> None:
        while min(shares.values()) < 3:
            match await app.limits.take([limit]):
                case Refused(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Taken() as slot:
                    async with slot:
                        shares[number] += 1

    async with asyncio.timeout(60):
        await asyncio.gather(*map(ask, shares))


@pytest.fixture
def run_python(broker_url: str, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(body: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(body=body)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "CELERIAC_BROKER_URL": broker_url, "PLACE": str(tmp_path / "place")},
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


PROGRAM = """
import asyncio, os
from pathlib import Path
from celeriac.client.connections import ConnectionsPerLoop
from celeriac.client.limits import Limits, Taken
from celeriac.core.limits import Limit

ONE, PLACE, URL = Limit("one", concurrency=1), os.environ["PLACE"], os.environ["CELERIAC_BROKER_URL"]

async def main():
    limits = Limits(ConnectionsPerLoop(lambda: URL, lambda: URL, 30))
{body}

asyncio.run(main())
"""
HAMMER = """
    alone = 0
    async def ask():
        nonlocal alone
        for _ in range(60):
            answer = await limits.take([ONE])
            if not isinstance(answer, Taken):
                continue  # at once: harder than anybody should
            async with answer:
                os.close(os.open(PLACE, os.O_CREAT | os.O_EXCL))  # fails if it is held twice
                await asyncio.sleep(0)
                os.unlink(PLACE)
                alone += 1
    await asyncio.gather(*(ask() for _ in range(10)))
    print(alone)
"""
HOLD = """
    assert isinstance(await limits.take([ONE], hold_seconds=2), Taken)
    print("held", flush=True)
    await asyncio.sleep(600)
"""


def test_a_limit_of_one_is_never_two(run_python: Callable[[str], subprocess.Popen[str]]) -> None:
    processes = [run_python(HAMMER) for _ in range(4)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(map(int, outputs)) >= 20


async def test_a_killed_holder_frees_its_slot_when_its_time_is_over(
    app: Celeriac, run_python: Callable[[str], subprocess.Popen[str]], broker: redis.Redis
) -> None:
    holder = run_python(HOLD)
    assert holder.stdout and await asyncio.to_thread(holder.stdout.readline) == "held\n"
    holder.send_signal(signal.SIGKILL)
    await asyncio.to_thread(holder.wait)
    ((_, until_ms),) = broker.zrange(keys.slots("one"), 0, -1, withscores=True)  # type: ignore[misc]
    while isinstance(answer := await app.limits.take([ONE]), Refused):
        await asyncio.sleep(answer.seconds)
    assert now(broker) * 1000 >= until_ms  # not before


async def test_all_keys_are_on_one_node_of_a_cluster(app: Celeriac, broker: redis.Redis) -> None:
    async with await taken(app, Limit("a{b}c", rate=1, daily=9, concurrency=3), ONE):
        names = list(broker.scan_iter("celeriac:*"))
        assert len(names) >= 4
        assert {broker.execute_command("CLUSTER KEYSLOT", name) for name in names} == {
            broker.execute_command("CLUSTER KEYSLOT", "limits")
        }


async def test_jobs_in_their_callers_process_are_not_limited(app: Celeriac, broker: redis.Redis) -> None:
    with in_process(app):
        for _ in range(3):
            slot = await taken(app, ONE, units=20)
            async with slot:
                assert slot.units == 20
                assert await slot.renew() is True
        with pytest.raises(ValueError, match="units=0"):
            await app.limits.take([ONE], units=0)
    assert not broker.keys("*")
