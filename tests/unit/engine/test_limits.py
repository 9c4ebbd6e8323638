"""Celery's time limits for a coroutine."""

from __future__ import annotations

import asyncio

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.engine.aio.limits import HardLimitPassed, Limited
from tests.support.clock import JumpingClock

#: Seconds: soon, later, and after all else.
SOON, LATER, NEVER = 0.02, 0.1, 60.0


class Story:
    """What happened to a coroutine."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def soft_limit_passed(self) -> None:
        self.words.append("soft")

    async def stubborn(self, catches: int) -> str:
        """Waits, and goes on doing so after so many soft limits or cancellations."""
        for _ in range(catches):
            try:
                await asyncio.sleep(NEVER)
            except (SoftTimeLimitExceeded, asyncio.CancelledError) as error:
                self.words.append(type(error).__name__)
        return "returned"


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture(autouse=True)
async def clock() -> JumpingClock:
    """The clock of the test's event loop."""
    return JumpingClock(asyncio.get_running_loop())


async def test_what_is_fast_enough_returns_and_leaves_nothing_behind(story: Story) -> None:
    assert await Limited(story.stubborn(0), SOON, LATER, story.soft_limit_passed) == "returned"
    await asyncio.sleep(LATER + SOON)  # both limits would have passed
    assert story.words == []


async def test_the_soft_limit_can_be_caught(story: Story) -> None:
    assert await Limited(story.stubborn(1), SOON, None, story.soft_limit_passed) == "returned"
    assert story.words == ["soft", "SoftTimeLimitExceeded"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_soft_limit_that_is_not_caught_is_the_failure(story: Story) -> None:
    with pytest.raises(SoftTimeLimitExceeded):
        await Limited(asyncio.sleep(NEVER), SOON, None, story.soft_limit_passed)
    assert story.words == ["soft"]


async def test_the_hard_limit_comes_after_the_soft_one(story: Story) -> None:
    async def ignores_the_soft_one() -> None:
        await story.stubborn(1)
        await asyncio.sleep(NEVER)

    with pytest.raises(HardLimitPassed):
        await Limited(ignores_the_soft_one(), SOON, LATER, story.soft_limit_passed)
    assert story.words == ["soft", "SoftTimeLimitExceeded"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_hard_limit_alone(story: Story) -> None:
    with pytest.raises(HardLimitPassed):
        await Limited(asyncio.sleep(NEVER), None, SOON, story.soft_limit_passed)
    assert story.words == []


async def test_a_hard_limit_that_is_caught_leaves_nothing_behind(story: Story) -> None:
    assert await Limited(story.stubborn(1), None, SOON, story.soft_limit_passed) == "returned"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize(("soft", "hard"), [(SOON, 2 * SOON), (2 * SOON, SOON)])
async def test_both_limits_pass_while_the_loop_is_blocked(
    story: Story, clock: JumpingClock, soft: float, hard: float
) -> None:
    async def blocks() -> None:
        await asyncio.sleep(0)
        clock.pass_by(3 * SOON)
        await asyncio.sleep(NEVER)

    with pytest.raises(HardLimitPassed):
        await Limited(blocks(), soft, hard, story.soft_limit_passed)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_by_others_is_one(story: Story) -> None:
    async def run() -> None:
        await Limited(asyncio.sleep(NEVER), NEVER, NEVER, story.soft_limit_passed)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_errors_of_what_is_awaited_pass(story: Story) -> None:
    async def fetch() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("refused")

    async def recover() -> str:
        try:
            await fetch()
        except ConnectionError as error:
            return str(error)
        return "connected"

    assert await Limited(recover(), NEVER, NEVER, story.soft_limit_passed) == "refused"
    with pytest.raises(ConnectionError, match="refused"):
        await Limited(fetch(), NEVER, NEVER, story.soft_limit_passed)


async def test_a_timeout_inside_is_told_from_the_limits(story: Story) -> None:
    async def patient() -> str:
        try:
            async with asyncio.timeout(SOON):
                await asyncio.sleep(NEVER)
        except TimeoutError:
            return "its own timeout"
        return "none"

    assert await Limited(patient(), LATER, NEVER, story.soft_limit_passed) == "its own timeout"
    assert story.words == []


@pytest.mark.parametrize(("inside", "soft"), [(SOON, 2 * SOON), (2 * SOON, SOON)])
async def test_a_timeout_inside_and_the_soft_limit_pass_while_the_loop_is_blocked(
    story: Story, clock: JumpingClock, inside: float, soft: float
) -> None:
    async def blocks() -> None:
        async with asyncio.timeout(inside):
            await asyncio.sleep(0)
            clock.pass_by(3 * SOON)
            await asyncio.sleep(NEVER)

    with pytest.raises(SoftTimeLimitExceeded):
        await Limited(blocks(), soft, NEVER, story.soft_limit_passed)
    assert story.words == ["soft"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
