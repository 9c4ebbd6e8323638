import signal

import pytest

from celeriac.launch.supervision.child_supervisor import RestartPolicy, described


def test_delays_double_up_to_the_longest() -> None:
    policy = RestartPolicy(first=0.2, longest=10)
    assert [policy.delay(restarts) for restarts in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


def test_a_child_that_fails_for_days_is_still_started_again() -> None:
    assert RestartPolicy().delay(100_000) == 10


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-40, "was killed by signal 40"),  # a real-time signal has no name
    ],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert described(code) == words
