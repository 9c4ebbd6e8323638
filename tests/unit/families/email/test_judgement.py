"""What single refusals mean for the whole mailing."""

import pytest

from celeriac.families.email.domains import Domains, wait_after
from celeriac.families.email.judgement import StopAt, holds, limits_of, since, stops, why_stop
from celeriac.families.email.replies import Verdict

LIMITS = StopAt(hard=10, soft=30, floor=100)


@pytest.mark.parametrize(
    ("sent", "hard", "soft", "unasked", "why"),
    [
        (0, 0, 0, 0, None),
        (2, 1, 0, 0, None),  # one of three
        (0, 99, 0, 0, None),
        (0, 100, 0, 0, "too many hard failures: 100 of 100 recipients (100.0 %; the limit is 10 %)"),
        (90, 10, 0, 0, None),
        (89, 11, 0, 0, "too many hard failures: 11 of 100 recipients (11.0 %; the limit is 10 %)"),
        (70, 0, 30, 0, None),
        (69, 0, 31, 0, "too many soft failures: 31 of 100 recipients (31.0 %; the limit is 30 %)"),
        (89, 0, 0, 1000, None),  # that no server was asked about
        (880, 120, 0, 500, "too many hard failures: 120 of 1,000 recipients (12.0 %; the limit is 10 %)"),
    ],
)
def test_a_mailing_stops_above_a_rate_of_those_that_were_asked_about(
    sent: int, hard: int, soft: int, unasked: int, why: str | None
) -> None:
    failed = {Verdict.HARD: hard, Verdict.SOFT: soft, None: unasked}
    assert why_stop(sent, {str(kind) if kind else None: number for kind, number in failed.items()}, LIMITS) == why


def test_what_came_before_a_stop_does_not_count() -> None:
    assert since(None, 5, {"hard": 2}) == (5, {"hard": 2})
    assert since({"sent": 3, "failed": {"hard": 2}}, 5, {"hard": 2, "soft": 1, None: 4}) == (
        2,
        {"hard": 0, "soft": 1, None: 4},
    )


def test_a_mailings_own_limits_replace_only_those_that_it_names() -> None:
    assert limits_of({"hard": 50.0}, LIMITS) == StopAt(hard=50, soft=30, floor=100)
    assert limits_of(None, LIMITS) == LIMITS


@pytest.mark.parametrize(
    ("kind", "was_held", "has_sent", "expected"),
    [
        (Verdict.POLICY, False, False, True),
        (Verdict.POLICY, False, True, True),
        (Verdict.POLICY, True, False, True),
        (Verdict.POLICY, True, True, False),
        (Verdict.MESSAGE, False, False, True),
        (Verdict.MESSAGE, False, True, False),
        (Verdict.MESSAGE, True, False, False),
        (Verdict.HARD, False, False, False),
        (Verdict.SOFT, True, True, False),
    ],
)
def test_who_stays_open_until_the_mailing_is_resumed(
    kind: Verdict, was_held: bool, has_sent: bool, expected: bool
) -> None:
    assert holds(kind, was_held=was_held, has_sent=has_sent) is expected


def test_policy_stops_at_once_before_the_first_mail_and_else_after_three_in_a_row() -> None:
    assert stops(has_sent=False, in_a_row=1)
    assert [stops(has_sent=True, in_a_row=n) for n in (1, 2, 3)] == [False, False, True]


def test_waits_grow_to_a_limit() -> None:
    waits = [wait_after(n) for n in range(1, 60)]
    assert waits[:3] == [2.5, 6.25, 15.625]
    assert waits == sorted(waits)
    assert waits[-1] == 900.0


def test_a_domain_waits_after_one_refusal_of_its_own_or_three_of_its_recipients() -> None:
    domains = Domains()
    domains.refused("a@Busy.example", Verdict.DOMAIN_LATER, "too busy")
    assert domains.waits("b@busy.example") == "too busy"
    assert domains.waits("b@other.example") is None
    for _ in range(2):
        domains.refused("a@grey.example", Verdict.LATER, "later")
    assert domains.waits("b@grey.example") is None
    domains.refused("a@grey.example", Verdict.LATER, "later")
    assert domains.waits("b@grey.example") == "later"
    domains.accepted("c@grey.example")
    assert domains.waits("b@grey.example") is None


@pytest.mark.slow
def test_the_memory_of_domains_is_bounded() -> None:
    domains = Domains()
    for number in range(10_050):
        domains.refused(f"a@d{number}.example", Verdict.DOMAIN_LATER, "busy")
    assert domains.waits("a@d0.example") is None
    assert domains.waits("a@d10049.example") == "busy"
