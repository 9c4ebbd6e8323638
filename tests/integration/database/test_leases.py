"""Leases on each kind of database: one holder at a time, and whoever has lost one commits nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import pytest
from sqlalchemy import Boolean, Column, Connection, MetaData, String, Table, select, text, update

from celeriac.core.errors import LeaseLost
from celeriac.database.engine import Database
from celeriac.database.leases import Busy, Lease, Leases, lease_columns
from tests.support.waiting import eventually

T = TypeVar("T")

TABLE = Table(
    "work",
    MetaData(),
    Column("name", String(20), primary_key=True),
    *lease_columns(),
    Column("paused", Boolean, nullable=False, default=False),
    Column("place", String(20)),
)
LEASES = Leases(TABLE, what="the work", lasting_ms=60_000)


@pytest.fixture
async def works(other: Database) -> AsyncGenerator[Database]:
    await other.write(TABLE.metadata.create_all)
    yield other


async def take(works: Database, holder: str, name: str = "orders") -> Lease:
    taken = await works.write(lambda c: LEASES.take(c, name, holder))
    assert isinstance(taken, Lease)
    return taken


async def holder(works: Database, name: str = "orders") -> str | None:
    found = await works.read(lambda c: LEASES.holder(c, name))
    return found and found.holder


async def until(works: Database) -> int:
    return int(await works.read(lambda c: c.execute(select(TABLE.c.until)).scalar_one()))


async def set_until(works: Database, moment: int) -> None:
    await works.write(lambda c: c.execute(update(TABLE).values(until=moment)))


async def is_lost(works: Database, commit: Callable[[Connection], T]) -> bool:
    try:
        await works.write(commit)
    except LeaseLost as error:
        assert "the work 'orders'" in str(error)
        return True
    return False


async def test_others_are_told_who_has_it_and_for_how_long(works: Database) -> None:
    assert await holder(works) is None
    lease = await take(works, "job-1")
    busy = await works.write(lambda c: LEASES.take(c, "orders", "job-2"))
    assert isinstance(busy, Busy)
    assert busy.holder == "job-1"
    assert 0 < busy.left_ms <= 60_000
    assert busy.holder == await holder(works)
    assert (await take(works, "job-2", "customers")).token == 1, "another name is another lease"
    await works.write(lease.fence)


async def test_of_many_that_come_at_once_one_gets_it(works: Database) -> None:
    jobs = [f"job-{number}" for number in range(6)]
    taken = await asyncio.gather(*(works.write(lambda c, job=job: LEASES.take(c, "orders", job)) for job in jobs))
    (lease,) = (one for one in taken if isinstance(one, Lease))
    assert {one.holder for one in taken} == {lease.holder}


async def test_each_taking_has_a_greater_token_and_ends_what_had_it_before(works: Database) -> None:
    leases = [await take(works, "job-1")]
    leases.append(await take(works, "job-1"))  # its worker was killed, and the job runs again
    await set_until(works, 1)
    leases.append(await take(works, "job-2"))
    await works.write(leases[-1].release)
    leases.append(await take(works, "job-3"))
    await works.write(lambda c: LEASES.free(c, "job-3"))
    leases.append(await take(works, "job-4"))
    await works.write(lambda c: LEASES.take_away(c, "orders"))
    leases.append(await take(works, "job-5"))
    tokens = [one.token for one in leases]
    assert tokens == sorted(set(tokens))
    for lease in leases[:-1]:
        assert await is_lost(works, lease.fence)
        assert not await works.write(lease.renew)
        await works.write(lease.release)
    assert await holder(works) == "job-5"
    await works.write(leases[-1].fence)


async def test_whoever_has_lost_it_commits_nothing(works: Database) -> None:
    lease = await take(works, "job-1")
    await works.write(lambda c: c.execute(text("CREATE TABLE written (n INTEGER)")))

    def write(connection: Connection) -> None:
        connection.execute(text("INSERT INTO written VALUES (1)"))
        lease.fence(connection)

    await works.write(lambda c: LEASES.take_away(c, "orders"))
    assert await is_lost(works, write)
    assert await works.read(lambda c: c.execute(text("SELECT count(*) FROM written")).scalar_one()) == 0


async def test_a_release_lets_the_next_one_begin_and_stops_its_own_late_commits(works: Database) -> None:
    lease = await take(works, "job-1")
    await works.write(lease.release)
    assert await holder(works) is None
    assert await is_lost(works, lease.fence), "even before another one has taken it"
    await works.write(lease.release)
    await take(works, "job-2")


async def test_a_job_that_will_not_go_on_gives_back_its_own_leases_only(works: Database) -> None:
    for name, job in (("a", "job-1"), ("b", "job-1"), ("c", "job-1"), ("d", "job-2")):
        await take(works, job, name)
    await works.write(lambda c: LEASES.free(c, "job-1", "a"))
    assert [await holder(works, name) for name in "abcd"] == [None, "job-1", "job-1", "job-2"]
    await works.write(lambda c: LEASES.free(c, "job-1"))
    assert [await holder(works, name) for name in "abcd"] == [None, None, None, "job-2"]


async def test_a_commit_may_want_more_of_the_row_and_write_to_it(works: Database) -> None:
    lease = await take(works, "job-1")
    is_on = TABLE.c.paused.is_(False)
    await works.write(lambda c: lease.fence(c, only_if=is_on, place="row 7"))
    await works.write(lambda c: c.execute(update(TABLE).values(paused=True)))
    assert await is_lost(works, lambda c: lease.fence(c, only_if=is_on, place="row 8"))
    assert await works.read(lambda c: c.execute(select(TABLE.c.place)).scalar_one()) == "row 7"


async def test_a_lease_is_renewed_beside_long_work_and_never_made_shorter(works: Database) -> None:
    lease = await take(works, "job-1")
    await set_until(works, 1)

    async def is_renewed() -> bool:
        return await until(works) > 1

    async with lease.renewing(works, every_s=0.01):
        await eventually(is_renewed)
    await works.write(lambda c: lease.fence(c, for_ms=600_000))  # until the outage is over
    before = await until(works)
    assert await works.write(lease.renew)
    assert await until(works) == before


async def test_a_lease_that_is_lost_is_renewed_no_more(works: Database) -> None:
    lease = await take(works, "job-1")
    await works.write(lambda c: LEASES.take_away(c, "orders"))
    async with lease.renewing(works, every_s=0.01):
        (renewal,) = (task for task in asyncio.all_tasks() if task.get_name() == "celeriac-lease")
        await asyncio.wait([renewal])
    assert await until(works) == 0
