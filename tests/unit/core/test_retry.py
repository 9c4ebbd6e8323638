"""Whether a failed attempt is followed by another, and after how long."""

import math
from itertools import pairwise
from typing import Any

import pytest

from celeriac import ConfigurationError, InvalidArguments, InvalidResult, Retry, RetryAfter, RunLater

DRAWS = 2000


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (Retry(attempts=5, jitter=False), [1, 2, 4, 8, None]),
        (Retry(attempts=4, backoff=3, factor=1, jitter=False), [3, 3, 3, None]),
        (Retry(attempts=5, backoff=10, factor=3, max_delay=50, jitter=False), [10, 30, 50, 50, None]),
        (Retry(attempts=3, backoff=0, jitter=False), [0, 0, None]),
        (Retry(attempts=3, backoff=9, max_delay=0, jitter=False), [0, 0, None]),
        (Retry(attempts=1), [None]),
    ],
)
def test_delays_grow_by_the_factor_up_to_the_maximum_and_end_with_the_attempts(
    policy: Retry, delays: list[float | None]
) -> None:
    assert [policy.delay_after(OSError(), attempt) for attempt in range(1, policy.attempts + 1)] == delays


@pytest.mark.parametrize("attempt", [1, 2, 3, 9])
def test_jitter_spreads_delays_over_the_upper_half(attempt: int) -> None:
    policy = Retry(attempts=10, backoff=2, max_delay=60)
    full = min(60, 2 * 2 ** (attempt - 1))
    drawn = [policy.delay_after(OSError(), attempt) or 0 for _ in range(DRAWS)]
    assert full / 2 <= min(drawn) < full * 0.55
    assert full * 0.95 < max(drawn) <= full
    assert len(set(drawn)) > DRAWS / 2


@pytest.mark.parametrize("factor", [1.5, 2, 10, 1e6, 1e300])
def test_a_patient_policy_never_overflows(factor: float) -> None:
    policy = Retry(attempts=10**9, factor=factor, jitter=False)
    attempts = [1, 2, 10, 64, 65, 66, 1000, 10**6, 10**9 - 1]
    delays = [policy.delay_after(OSError(), attempt) or 0 for attempt in attempts]
    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[-1] == 300


def test_a_policy_without_backoff_never_waits_however_often_it_tries() -> None:
    assert Retry(attempts=10**9, backoff=0).delay_after(OSError(), 10**8) == 0


@pytest.mark.parametrize(
    ("policy", "error", "again"),
    [
        (Retry(), ValueError(), True),
        (Retry(), KeyboardInterrupt(), False),
        (Retry(on=(OSError,)), ConnectionError(), True),
        (Retry(on=(OSError,)), ValueError(), False),
        (Retry(never=(ConnectionError,)), ConnectionRefusedError(), False),
        (Retry(on=(OSError,), never=(ConnectionError,)), TimeoutError(), True),
        (Retry(on=()), OSError(), False),
        (Retry(), InvalidArguments("job", []), False),
        (Retry(on=(InvalidArguments,)), InvalidArguments("job", []), False),
        (Retry(), InvalidResult("odd"), False),
    ],
)
def test_errors_are_retried_as_on_and_never_say_and_faults_of_the_call_are_not(
    policy: Retry, error: BaseException, again: bool
) -> None:
    assert (policy.delay_after(error, 1) is not None) is again


@pytest.mark.parametrize(("asked", "given"), [(7, 7), (0, 0), (-3, 0), (10_000, 10_000)])
def test_a_job_that_asks_for_a_delay_gets_it_exactly(asked: float, given: float) -> None:
    assert Retry(max_delay=5).delay_after(RetryAfter(asked), 1) == given


def test_to_be_run_later_is_no_attempt_so_that_none_has_to_be_left() -> None:
    assert Retry(attempts=1, on=()).delay_after(RunLater(7), 1) == 7


@pytest.mark.parametrize("policy", [Retry(on=()), Retry(never=(RetryAfter,))])
def test_what_a_job_asks_for_itself_goes_before_on_and_never(policy: Retry) -> None:
    assert policy.delay_after(RetryAfter(7), 1) == 7


def test_a_job_cannot_ask_for_more_attempts_than_it_has() -> None:
    assert Retry(attempts=2).delay_after(RetryAfter(7), 2) is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("attempts", 0), ("attempts", -1)],
        *[("factor", 0.9), ("factor", math.nan), ("factor", math.inf)],
        *[(name, value) for name in ("backoff", "max_delay") for value in (-0.1, math.nan, math.inf)],
    ],
)
def test_a_wrong_option_is_named_with_its_value(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Retry\({option}={value}\): "):
        Retry(**{option: value})
