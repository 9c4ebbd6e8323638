"""Lanes: how deliveries of one process, and of several, take turns, and which of them had better come back later."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from celeriac.core.errors import BrokerUnavailable
from celeriac.families.webhooks import lanes as module
from celeriac.families.webhooks.lanes import Busy, Lanes, NoSlot, Slot


@dataclass
class Pool:
    """Slots that several processes share, as on the broker."""

    taken: int = 0
    most_taken: int = 0
    asked: int = 0
    lasts: bool = True
    refusal: NoSlot = field(default_factory=lambda: NoSlot(0.02))
    fault: Exception | None = None

    async def take(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> Slot | NoSlot:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if self.taken >= concurrency:
            return self.refusal
        self.taken += 1
        self.most_taken = max(self.most_taken, self.taken)
        return Held(self)


@dataclass
class Held:
    pool: Pool

    @property
    def is_fresh(self) -> bool:
        return self.pool.lasts

    async def release(self) -> None:
        self.pool.taken -= 1


@dataclass
class Work:
    """Deliveries to one endpoint, which end when `gate` is open."""

    lanes: Lanes
    concurrency: int = 2
    rate: float | None = None
    running: int = 0
    most: int = 0
    done: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def one(self) -> None:
        async with self.lanes.slot("e", concurrency=self.concurrency, rate=self.rate):
            self.running += 1
            self.most = max(self.most, self.running)
            await self.gate.wait()
            self.running -= 1
        self.done += 1


async def test_one_slot_after_the_other_is_handed_on_and_the_broker_is_hardly_asked() -> None:
    pool = Pool()
    work = Work(Lanes(pool, lambda: 1000))
    work.gate.set()
    await asyncio.gather(*(work.one() for _ in range(200)))
    await _until_released(pool)
    assert (work.done, pool.most_taken) == (200, 2)
    assert work.most <= 2 and pool.asked <= 10


@pytest.mark.parametrize("lasts", [True, False])
async def test_two_processes_share_the_slots_of_an_endpoint_and_both_come_to_their_end(lasts: bool) -> None:
    pool = Pool(lasts=lasts)
    works = [Work(Lanes(pool, lambda: 1000)) for _ in range(2)]
    for work in works:
        work.gate.set()
    await asyncio.gather(*(work.one() for work in works for _ in range(20)))
    assert [work.done for work in works] == [20, 20]
    await _until_released(pool)
    assert pool.most_taken == 2


@pytest.mark.parametrize("room", [1, 4, 50])
async def test_a_small_worker_is_not_filled_by_those_who_wait(room: int) -> None:
    work = Work(Lanes(Pool(), lambda: room))
    tasks = [asyncio.create_task(work.one()) for _ in range(100)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    turned_away = [task for task in tasks if task.done()]
    work.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(task.exception(), Busy) for task in turned_away)
    assert (work.done, len(turned_away)) == (room, 100 - room)


async def test_who_waits_behind_requests_that_do_not_end_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STALLED_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    work = Work(Lanes(Pool(), lambda: 1000))
    tasks = [asyncio.create_task(work.one()) for _ in range(100)]
    while sum(task.done() for task in tasks) < 100 - 2 - 20:  # two have the slots, and twenty may wait
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(Busy):
        await work.one()
    work.gate.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert work.done == 22 and sum(isinstance(end, Busy) for end in ended) == 78


async def test_nobody_waits_for_longer_than_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    pool = Pool(taken=2)  # by others, who keep them
    with pytest.raises(Busy, match="slowly"):
        await Work(Lanes(pool, lambda: 1000)).one()


async def test_a_rate_that_is_used_up_for_long_sends_those_away_who_wait() -> None:
    pool = Pool(taken=2, refusal=NoSlot(30.0))
    with pytest.raises(Busy) as caught:
        await Work(Lanes(pool, lambda: 1000), rate=1.0).one()
    assert 30.0 <= caught.value.seconds <= 45.0


async def test_a_broker_that_is_away_is_told_to_all_who_wait() -> None:
    pool = Pool(fault=BrokerUnavailable("away"))
    work = Work(Lanes(pool, lambda: 1000))
    ended = await asyncio.gather(*(work.one() for _ in range(20)), return_exceptions=True)
    assert {type(end) for end in ended} == {BrokerUnavailable}
    pool.fault = None
    work.gate.set()
    await work.one()
    await _until_released(pool)
    assert work.done == 1


async def test_who_is_cancelled_takes_no_slot_along() -> None:
    pool = Pool()
    work = Work(Lanes(pool, lambda: 1000))
    tasks = [asyncio.create_task(work.one()) for _ in range(10)]
    while work.running < 2:
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    work.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _until_released(pool)
    assert work.done == 5


async def _until_released(pool: Pool) -> None:
    """Slots are released in tasks of their own."""
    async with asyncio.timeout(10):
        while pool.taken:
            await asyncio.sleep(0)
