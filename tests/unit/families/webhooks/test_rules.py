"""When deliveries are tried again, endpoints are left alone, and events match."""

from __future__ import annotations

import pytest

from celeriac.families.webhooks.health import Health, Rules, after_failures, may_be_disabled
from celeriac.families.webhooks.patterns import check_pattern, check_type, matches
from celeriac.families.webhooks.schedule import delay_after
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.families.webhooks.turnstile import Turnstile

RULES = Rules(first_delay=5, disable_after=5 * 86400, disable_failures=12)
DAY_MS = 86_400_000


def test_the_schedule_of_the_settings_is_over_three_days_long_and_spread_by_a_tenth() -> None:
    schedule = WebhookSettings().webhook_schedule
    assert schedule == (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400) and sum(schedule) > 3 * 86400
    for tries, delay in enumerate(schedule, start=1):
        drawn = {delay_after(tries, schedule) for _ in range(50)}
        assert len(drawn) > 1 and all(one is not None and 0.9 * delay <= one <= 1.1 * delay for one in drawn)
    assert delay_after(len(schedule) + 1, schedule) is None


@pytest.mark.parametrize("value", ["5s", "[3,3]", "0", "5,-1", "2592001", ",".join(["1"] * 51), "nan"])
def test_a_wrong_schedule_is_refused_with_what_it_should_be(value: str) -> None:
    with pytest.raises(ValueError, match="numbers of seconds, separated by commas"):
        WebhookSettings(webhook_schedule=value)  # type: ignore[arg-type]


def test_the_receiver_can_lengthen_a_delay_but_not_shorten_it() -> None:
    assert delay_after(1, [5], asked=60) == 60
    assert (delay_after(1, [5], asked=0) or 0) >= 4.5
    assert delay_after(2, [5], asked=60) is None


def test_a_circuit_opens_after_five_failures_for_twice_as_long_each_time() -> None:
    health = after_failures(Health(), 4, 1000, RULES)
    assert (health.open_until, health.failing_since) == (None, 1000)
    health = after_failures(health, 1, 2000, RULES)
    assert (health.open_until, health.failing_since, health.failures) == (12_000, 1000, 5)
    assert after_failures(health, 3, 3000, RULES).open_until == 12_000  # they were under way
    health = after_failures(health, 1, 12_000, RULES)
    assert health.open_until == 32_000
    for _ in range(30):
        health = after_failures(health, 1, health.open_until or 0, RULES)
    assert after_failures(health, 1, health.open_until or 0, RULES).open_until == (health.open_until or 0) + 600_000


def test_an_endpoint_is_disabled_at_the_threshold_and_not_before() -> None:
    failing = Health(failing_since=0, failures=12)
    assert may_be_disabled(failing, 5 * DAY_MS, RULES)
    assert not may_be_disabled(failing, 5 * DAY_MS - 1, RULES)
    assert not may_be_disabled(Health(failing_since=0, failures=11), 5 * DAY_MS, RULES)
    assert not may_be_disabled(Health(), 5 * DAY_MS, RULES)


@pytest.mark.parametrize(
    ("patterns", "event_type", "expected"),
    [
        (["invoice.paid"], "invoice.paid", True),
        (["invoice.*"], "invoice.paid.late", True),
        (["invoice.*"], "invoice", False),
        (["invoice.*"], "invoices.paid", False),
        (["*"], "anything", True),
        (["*"], "webhooks.endpoint.disabled", False),
        (["webhooks.*"], "webhooks.endpoint.disabled", True),
        ([], "anything", False),
    ],
)
def test_patterns(patterns: list[str], event_type: str, expected: bool) -> None:
    assert matches(patterns, event_type) is expected


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a b", "a*", "ä", "x" * 129, "webhooks.test"])
def test_a_wrong_type_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        check_type(name)


@pytest.mark.parametrize("pattern", ["", "**", "*.paid", "a*", "a.*.b", ".*"])
def test_a_wrong_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"expected a type such as invoice.paid, invoice.\*, or \*"):
        check_pattern(pattern)


def test_those_who_come_back_to_one_endpoint_do_so_one_after_the_other() -> None:
    turnstile = Turnstile()
    delays = [turnstile.after("a", 1.0) for _ in range(100)]
    assert 1.0 <= delays[0] < 1.1 and delays[-1] > 5
    assert turnstile.after("b", 1.0) < 1.1
