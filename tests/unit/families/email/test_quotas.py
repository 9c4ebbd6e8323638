"""Limits of recipients' domains as they are set, and the order of several mail servers."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import SecretStr

from celeriac import ConfigurationError
from celeriac.families.email.quotas import DomainLimit, parse_domain_limits
from celeriac.families.email.servers import by_weight
from celeriac.families.email.smtp_url import parse_smtp_url, servers_of


def test_domain_limits_are_read() -> None:
    assert parse_domain_limits("gmail.com=20/s,5  Example.org=3 *=0.5/s") == {
        "gmail.com": DomainLimit(20, 5),
        "example.org": DomainLimit(None, 3),
        "*": DomainLimit(0.5, None),
    }
    assert parse_domain_limits("") == {}


@pytest.mark.parametrize("text", ["gmail.com", "=5", "a=x", "a=1.5", "a=0", "a=-1/s", "a=nan/s", "a=", "a=1 a=2"])
def test_a_wrong_domain_limit_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"a=|gmail\.com|=5"):
        parse_domain_limits(text)


def test_a_mail_server_has_limits_and_a_weight() -> None:
    first, second = servers_of(SecretStr("smtp://a?weight=3&rate=0.5&concurrency=4&daily=1000 smtps://b"))
    assert (first.weight, first.rate, first.concurrency, first.daily) == (3, 0.5, 4, 1000)
    assert (second.host, second.weight, second.rate, second.concurrency, second.daily) == ("b", 1, None, None, None)


@pytest.mark.parametrize("option", ["rate=0", "rate=x", "concurrency=1.5", "daily=-1", "weight=0", "daily=1e9"])
def test_a_wrong_limit_of_a_mail_server_is_named(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the SMTP URL has {option}; expected"):
        parse_smtp_url(f"smtp://a?{option}")


def test_a_server_of_three_times_the_weight_is_first_three_times_as_often() -> None:
    light, heavy = parse_smtp_url("smtp://light"), parse_smtp_url("smtp://heavy?weight=3")
    first = Counter(by_weight([light, heavy])[0].host for _ in range(4000))
    assert 2700 < first["heavy"] < 3300  # 3,000 on average; 10 standard deviations
