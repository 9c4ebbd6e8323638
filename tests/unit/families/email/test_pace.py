"""How often it is told how far a mailing is."""

from __future__ import annotations

import asyncio

from celeriac.families.email.pace import Pace


async def test_one_sender_tells_at_a_time_and_a_tenth_of_the_time() -> None:
    now, told = [0.0], list[float]()
    pace, going_on = Pace(lambda: now[0]), asyncio.Event()

    async def telling() -> None:
        told.append(now[0])
        await going_on.wait()
        now[0] += 1.0

    first = asyncio.create_task(pace.tell("a", telling))
    await asyncio.sleep(0)
    await pace.tell("a", telling)  # the first has not ended
    assert told == [0.0]
    going_on.set()
    await first
    for moment in (1.0, 9.9, 10.0):
        now[0] = moment
        await pace.tell("a", telling)
    assert told == [0.0, 10.0]
    now[0] = 12.0
    await pace.tell("b", telling)  # another mailing
    assert told[-1] == 12.0
