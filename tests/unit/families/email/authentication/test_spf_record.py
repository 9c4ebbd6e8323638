"""SPF records, as RFC 7208 has them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from celeriac.families.email.authentication.spf_record import expand, is_spf, parse_spf


@pytest.mark.parametrize(
    ("spec", "filled"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ],
)
def test_macros_are_filled_in_as_in_section_7_4(spec: str, filled: str) -> None:
    assert expand(spec, "email.example.com", ip_address("192.0.2.3"), "strong-bad@email.example.com") == filled


def test_an_address_of_ipv6_is_written_by_digits() -> None:
    name = expand("%{ir}.%{v}._spf.%{d2}", "email.example.com", ip_address("2001:db8::cb01"), "a@email.example.com")
    assert name == f"1.0.b.c.{'0.' * 20}8.b.d.0.1.0.0.2.ip6._spf.example.com"


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("ip4:192.0.2.300", "no address or network of IPv4"),
        ("ip4:192.0.2.1/33", "no address or network of IPv4"),
        ("ip6:192.0.2.1", "no address or network of IPv6"),
        ("a:192.0.2.1", "belongs in ip4"),
        ("include:", "no domain"),
        ("include", "a domain is missing"),
        ("mx:localhost", "no domain"),
        ("all:example.com", "has no value"),
        ("a/33", "no length of a network"),
        ("include:example.com/24", "no length of a network"),
        ("exists:%{x}.example.com", "no domain"),
        ("exists:%", "no domain"),
        ("everybody", "no term of SPF"),
        ("redirect=a.example redirect=b.example", "redirect= is there twice"),
        ("\x1b[2J", "no term of SPF"),
        ("a:\x1b[2J.example.com", "no domain"),
    ],
)
def test_a_wrong_record_is_refused_with_the_term(word: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_spf(f"v=spf1 {word} -all")


def test_a_record_has_its_terms_in_order() -> None:
    record = parse_spf(
        "v=spf1  A/24//64 mx:mail.example.com ?ip6:2001:DB8::/32 -Include:%{d}.x.example exp=why.example x=y"
    )
    a, mx, network, include = record.terms
    assert (a.name, a.domain, a.bits4, a.bits6) == ("a", "", 24, 64)
    assert (mx.name, mx.domain, mx.bits4, mx.bits6) == ("mx", "mail.example.com", 32, 128)
    assert (network.qualifier, str(network.network)) == ("?", "2001:db8::/32")
    assert (include.qualifier, include.name, include.domain) == ("-", "include", "%{d}.x.example")
    assert record.redirect is None
    assert parse_spf("v=spf1 redirect=_spf.example.com").redirect == "_spf.example.com"
    assert parse_spf("v=spf1 redirect=_spf.example.com ~all").redirect is None, "it means nothing beside `all`"


@pytest.mark.parametrize(
    ("text", "is_one"), [("v=spf1", True), ("V=SPF1 -all", True), ("v=spf10 -all", False), ("", False)]
)
def test_other_texts_are_no_records(text: str, is_one: bool) -> None:
    assert is_spf(text) is is_one
