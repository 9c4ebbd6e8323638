"""`celeriac email check` beside a DNS server of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli import ExitCode
from celeriac.core.findings import Finding, Status
from celeriac.families.email.authentication.examination import Examined, examine
from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.authentication.spf import Evaluation
from celeriac.families.email.dkim_keys import read_dkim_keys
from tests.support.dns_server import DnsServer, dns_server
from tests.support.terminal import Terminal

HERE = ip_address("203.0.113.5")
GOOD_DMARC = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"


@pytest.fixture
async def dns() -> AsyncGenerator[DnsServer]:
    async with dns_server() as server:
        yield server


@pytest.fixture
async def good(dns: DnsServer) -> DnsServer:
    """A domain about which all is right, but for its signatures."""
    dns.add("example.com", "TXT", "some=verification", "v=spf1 ip4:203.0.113.0/24 ~all")
    dns.add("example.com", "MX", "10 mx.example.com.")
    dns.add("mx.example.com", "A", str(HERE))
    dns.add("5.113.0.203.in-addr.arpa", "PTR", "mx.example.com.")
    dns.add("_dmarc.example.com", "TXT", GOOD_DMARC)
    return dns


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Private keys, made as the page says."""
    folder = tmp_path_factory.mktemp("keys")
    rsa = ["-algorithm", "rsa", "-pkeyopt"]
    options = {
        "rsa": [*rsa, "rsa_keygen_bits:2048"],
        "other": [*rsa, "rsa_keygen_bits:2048"],
        "small": [*rsa, "rsa_keygen_bits:1024"],
        "ed25519": ["-algorithm", "ed25519"],
    }
    for name, how in options.items():
        command = ["openssl", "genpkey", *how, "-out", str(folder / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    return {name: folder / f"{name}.pem" for name in options}


def published(file: Path) -> str:
    """The record, made as the page says."""
    kind, cut = ("ed25519", "tail -c 32 |") if file.stem == "ed25519" else ("rsa", "")
    command = f"openssl pkey -in {file} -pubout -outform DER | {cut} base64 -w0"
    made = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)
    return f"v=DKIM1; k={kind}; p={made.stdout}"


async def check(dns: DnsServer, domain: str = "example.com", **known: Any) -> list[Finding]:
    settled: dict[str, Any] = {"addresses": [HERE], **known}
    mail = Examined(domain=domain, **settled)
    return await examine(Resolver(dns.address, timeout=5), mail)


def of(findings: list[Finding], check: str, status: Status | None = None) -> list[Finding]:
    return [one for one in findings if one.check == check and (status is None or one.status is status)]


def only(findings: list[Finding], check: str, status: Status) -> Finding:
    (one,) = of(findings, check, status)
    return one


async def test_a_good_domain_is_said_to_be_good(good: DnsServer, keys: dict[str, Path]) -> None:
    good.add("s1._domainkey.example.com", "TXT", published(keys["rsa"]))
    good.add("s2._domainkey.example.com", "TXT", published(keys["ed25519"]))
    signing = read_dkim_keys(f"s1={keys['rsa']},s2={keys['ed25519']}")
    findings = await check(good, keys=signing)
    assert {finding.status for finding in findings} == {Status.OK}, findings
    assert [finding.check for finding in findings] == [
        *("spf", "spf", "dkim", "dkim", "dmarc", "alignment", "mx", "reverse dns"),
    ]
    assert only(findings, "alignment", Status.OK).detail.startswith("DKIM (example.com) and SPF (example.com) vouch")


# ---- SPF


async def spf(dns: DnsServer, record: str | None, **known: Any) -> list[Finding]:
    if record is not None:
        dns.add("example.com", "TXT", record)
    return of(await check(dns, **known), "spf")


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (None, "has no SPF record"),
        ("v=spf1 +all", "permits everybody"),
        ("v=spf1 include:open.example -all", "permits everybody"),
        ("v=spf1 ip4:203.0.113.999 -all", "is wrong: 'ip4:203.0.113.999'"),
        ("v=spf1 include:nothing.example -all", "nothing.example has no SPF record"),
        ("v=spf1 redirect=nothing.example", "nothing.example has no SPF record"),
        ("v=spf1 include:example.com -all", "more than 40 look-ups"),
        ("v=spf1 " + " ".join(f"a:h{n}.example" for n in range(11)) + " -all", "takes 11 look-ups"),
        ("v=spf1 include:nine.example mx a -all", "takes 12 look-ups"),
        ("v=spf1 a:x1.example a:x2.example a:x3.example -all", "no more than 2"),
        ("v=spf1 mx:crowd.example -all", "has 11 MX hosts"),
        ("v=spf1 ip4:198.51.100.1 -all", "does not permit 203.0.113.5: fail"),
    ],
)
async def test_what_receivers_refuse_of_spf_is_a_failure(dns: DnsServer, record: str | None, fault: str) -> None:
    dns.add("open.example", "TXT", "v=spf1 all")
    dns.add("nine.example", "TXT", "v=spf1 " + " ".join(f"a:h{n}.example" for n in range(9)) + " -all")
    for number in range(11):
        dns.add(f"h{number}.example", "A", "198.51.100.9")
        dns.add("crowd.example", "MX", f"10 h{number}.example.")
    dns.add("example.com", "A", "198.51.100.9")
    dns.add("example.com", "MX", "10 h0.example.")
    failed = of(await spf(dns, record), "spf", Status.FAIL)
    assert any(fault in finding.detail for finding in failed), failed
    assert all(finding.advice for finding in failed)


async def test_two_records_are_none(dns: DnsServer) -> None:
    dns.add("example.com", "TXT", "v=spf1 -all")
    assert "has 2 SPF records" in only(await spf(dns, "v=spf1 ~all"), "spf", Status.FAIL).detail


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 ip4:203.0.113.5 -all",
        "v=spf1 a:mail.example -all",
        "v=spf1 a:mail.example/24 -all",
        "v=spf1 mx:mx.example -all",
        "v=spf1 include:deep.example -all",
        "v=spf1 redirect=deep.example",
        "v=spf1 exists:%{ir}._spf.example -all",
        "v=spf1 include:%{d2}.example -all",
        "v=spf1 -ip4:198.51.100.1 ip4:203.0.113.0/24 -all",
    ],
)
async def test_each_way_to_permit_an_address_is_understood(dns: DnsServer, record: str) -> None:
    dns.add("mail.example", "A", "203.0.113.7" if "/24" in record else str(HERE))
    dns.add("mx.example", "MX", "10 mail.example.")
    dns.add("deep.example", "TXT", "v=spf1 include:deeper.example ?all")
    dns.add("deeper.example", "TXT", "v=spf1 ip4:203.0.113.5 -all")
    dns.add("example.com.example", "TXT", "v=spf1 ip4:203.0.113.5 -all")
    dns.add("5.113.0.203._spf.example", "A", "127.0.0.2")
    assert [one.detail for one in await spf(dns, record)][-1] == "example.com permits 203.0.113.5"


async def test_an_address_of_ipv6_is_permitted_by_ipv6(dns: DnsServer) -> None:
    address = ip_address("2001:db8::5")
    dns.add("mail.example", "AAAA", str(address))
    dns.add("mail.example", "A", str(HERE))
    found = await spf(dns, "v=spf1 a:mail.example//64 -all", addresses=[address, ip_address("2001:db8:0:1::5")])
    assert [one.status for one in found[-2:]] == [Status.OK, Status.FAIL]


async def test_what_could_be_better_is_a_warning(dns: DnsServer) -> None:
    found = await spf(dns, "v=spf1 ip4:203.0.113.5 a:gone.example ptr ?all")
    warnings = [one.detail for one in of(found, "spf", Status.WARN)]
    assert len(warnings) == 3
    assert "hosts without addresses: gone.example" in warnings[0]
    assert "ptr is slow" in warnings[1]
    assert "says nothing of other senders" in warnings[2]
    assert only(found[-1:], "spf", Status.OK)


async def test_the_addresses_of_a_relay_are_a_guess_and_are_said_to_be_one(good: DnsServer) -> None:
    good.add("smtp.relay.example", "A", "198.51.100.1")
    good.add("inside.example", "A", "10.0.0.1")
    findings = await check(good, addresses=(), hosts=["smtp.relay.example"])
    told = only(findings, "spf", Status.WARN)
    assert "198.51.100.1 (smtp.relay.example): softfail" in told.detail and "only its operator knows" in told.advice
    assert only(findings, "reverse dns", Status.WARN)
    assert "if mails leave from addresses that it permits" in only(findings, "alignment", Status.WARN).detail
    findings = await check(good, addresses=(), hosts=["inside.example", "127.0.0.1"])
    assert "inside.example, 127.0.0.1 has no public address" in only(findings, "spf", Status.WARN).detail
    assert not of(findings, "reverse dns")
    findings = await check(good, addresses=())
    assert "CELERIAC_SMTP_URL is not set" in only(findings, "spf", Status.WARN).detail
    assert [one for one in findings if one.status is Status.FAIL] == []


async def test_the_domain_that_bounces_return_to_is_the_one_of_spf(good: DnsServer) -> None:
    good.add("bounces.example.com", "TXT", "v=spf1 ip4:203.0.113.5 -all")
    good.add("bounces.example.com", "MX", "10 mx.example.com.")
    findings = await check(good, return_path="b@bounces.example.com")
    assert of(findings, "spf")[-1].detail == "bounces.example.com permits 203.0.113.5"
    assert only(findings, "alignment", Status.OK).detail == "SPF (bounces.example.com) vouches for example.com"
    assert [one.detail for one in of(findings, "mx")] == [
        "example.com: mx.example.com (replies)",
        "bounces.example.com: mx.example.com (bounces)",
    ]


# ---- DKIM


async def dkim(dns: DnsServer, key: Path, *records: str, name: str = "s1._domainkey.example.com") -> Finding:
    if records:
        dns.add(name, "TXT", *records)
    (finding,) = of(await check(dns, keys=read_dkim_keys(f"s1={key}")), "dkim")
    return finding


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_a_missing_key_comes_with_the_record_to_publish(
    good: DnsServer, keys: dict[str, Path], kind: str
) -> None:
    missing = await dkim(good, keys[kind])
    assert (missing.status, missing.detail) == (Status.FAIL, "s1._domainkey.example.com is not there")
    name, kind_of_record, record = missing.snippet.split(" ", 2)
    assert (kind_of_record, record) == ("TXT", published(keys[kind]))
    good.add(name, "TXT", record)
    assert (await dkim(good, keys[kind])).status is Status.OK


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        (["OTHER"], "is not the public half of our key"),
        (["OWN", "OTHER"], "has 2 TXT records"),
        (["v=DKIM1; p="], "is revoked"),
        (["v=DKIM1; p=AAAA"], "no public key of RSA"),
        (["v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="], "is not the public half"),
        (["OWN; h=sha1"], "does not permit sha256"),
    ],
)
async def test_a_key_that_verifies_nothing_is_a_failure(
    good: DnsServer, keys: dict[str, Path], records: list[str], fault: str
) -> None:
    own = published(keys["rsa"])
    written = [record.replace("OWN", own).replace("OTHER", published(keys["other"])) for record in records]
    finding = await dkim(good, keys["rsa"], *written)
    assert finding.status is Status.FAIL and fault in finding.detail, finding
    assert finding.snippet.endswith(own)


async def test_a_key_in_test_and_a_small_one_are_warned_of(good: DnsServer, keys: dict[str, Path]) -> None:
    assert "1024 bits" in (await dkim(good, keys["small"], published(keys["small"]))).detail
    good.records.pop(("s1._domainkey.example.com", "TXT"))
    testing = await dkim(good, keys["rsa"], published(keys["rsa"]) + "; t=y")
    assert (testing.status, "t=y" in testing.detail) == (Status.WARN, True)


async def test_a_key_behind_an_alias_is_found(good: DnsServer, keys: dict[str, Path]) -> None:
    good.add("s1._domainkey.example.com", "CNAME", "s1.keys.relay.example.")
    finding = await dkim(good, keys["rsa"], published(keys["rsa"]), name="s1.keys.relay.example")
    assert finding.status is Status.OK, finding


async def test_a_selector_of_others_is_looked_at_without_its_private_key(
    good: DnsServer, keys: dict[str, Path]
) -> None:
    good.add("relay._domainkey.example.com", "TXT", published(keys["rsa"]))
    findings = await check(good, selectors=["relay", "none", "relay"])
    assert [(one.status, one.detail) for one in of(findings, "dkim")] == [
        (Status.OK, "relay._domainkey.example.com: rsa of 2048 bits"),
        (Status.FAIL, "none._domainkey.example.com is not there"),
    ]
    assert "DKIM (example.com)" in only(findings, "alignment", Status.OK).detail


async def test_a_key_of_another_domain_is_no_key_of_this_one(good: DnsServer, keys: dict[str, Path]) -> None:
    findings = await check(good, keys=read_dkim_keys(f"s1:other.example={keys['rsa']}"))
    assert "has no key for example.com" in only(findings, "dkim", Status.WARN).detail


# ---- DMARC


async def dmarc(dns: DnsServer, domain: str, **records: str) -> list[Finding]:
    for name, record in records.items():
        dns.add("_dmarc." + name.replace("_", "."), "TXT", record)
    return of(await check(dns, domain), "dmarc")


async def test_no_policy_comes_with_one_to_begin_with(dns: DnsServer) -> None:
    (missing,) = await dmarc(dns, "example.com")
    assert missing.status is Status.FAIL
    assert missing.snippet == "_dmarc.example.com TXT v=DMARC1; p=none; rua=mailto:postmaster@example.com"


@pytest.mark.parametrize(
    ("record", "status", "said"),
    [
        ("v=DMARC1; p=quarantine; rua=mailto:a@example.com", Status.OK, "p=quarantine"),
        ("v=DMARC1; p=none; rua=mailto:a@example.com", Status.WARN, "forged mails are delivered"),
        ("v=DMARC1; p=reject; pct=20; rua=mailto:a@example.com", Status.WARN, "to 20 %"),
        ("v=DMARC1; p=reject", Status.WARN, "names no address for reports"),
        ("v=DMARC1; p=reject; rua=https://example.com", Status.WARN, "no address that gets reports"),
        ("v=DMARC1; p=reject; rua=mailto:a@other.example", Status.WARN, "does not say that it takes reports"),
        ("v=DMARC1; p=reject; rua=mailto:a@agreed.example", Status.OK, "p=reject"),
        ("v=DMARC1; p=block", Status.FAIL, "p=block is no policy"),
    ],
)
async def test_a_policy_is_judged(dns: DnsServer, record: str, status: Status, said: str) -> None:
    dns.add("example.com._report._dmarc.agreed.example", "TXT", "v=DMARC1;")
    found = await dmarc(dns, "example.com", example_com=record)
    worst = next((one for one in found if one.status is not Status.OK), found[0])
    assert worst.status is status and said in worst.detail, found


async def test_two_policies_are_none(dns: DnsServer) -> None:
    dns.add("_dmarc.example.com", "TXT", GOOD_DMARC)
    (found,) = await dmarc(dns, "example.com", example_com="v=DMARC1; p=none")
    assert found.status is Status.FAIL and "2 DMARC records" in found.detail


async def test_the_policy_of_the_organization_holds_below_it(dns: DnsServer) -> None:
    record = "v=DMARC1; p=reject; sp=none; rua=mailto:a@example.com"
    (found,) = await dmarc(dns, "news.shop.example.com", example_com=record, com="v=DMARC1; p=reject; psd=y")
    assert found.status is Status.WARN
    assert "_dmarc.example.com" in found.detail and "(for news.shop.example.com: none)" in found.detail


async def test_alignment_ends_where_everybody_can_register(good: DnsServer, keys: dict[str, Path]) -> None:
    """Two domains below a public suffix that says so are of two organizations."""
    good.add("_dmarc.com", "TXT", "v=DMARC1; p=none; psd=y")
    good.add("_dmarc.relay.com", "TXT", GOOD_DMARC)
    good.add("relay.com", "TXT", "v=spf1 ip4:203.0.113.5 -all")
    findings = await check(good, return_path="b@relay.com", keys=read_dkim_keys(f"s1={keys['rsa']}"))
    failed = only(findings, "alignment", Status.FAIL)
    assert "SPF (relay.com is another organization) nor DKIM (no good key)" in failed.detail


async def test_strict_alignment_wants_the_very_domain(good: DnsServer, keys: dict[str, Path]) -> None:
    good.add("_dmarc.news.example.com", "TXT", f"{GOOD_DMARC}; adkim=s; aspf=s")
    good.add("s1._domainkey.example.com", "TXT", published(keys["rsa"]))
    signing = read_dkim_keys(f"s1:example.com={keys['rsa']}")
    findings = await check(good, "news.example.com", keys=signing, return_path="b@example.com")
    assert "example.com is not news.example.com" in only(findings, "alignment", Status.FAIL).detail


# ---- hosts


@pytest.mark.parametrize(
    ("records", "status", "said"),
    [
        ([], Status.FAIL, "neither MX nor address"),
        ([("example.com", "A", "203.0.113.5")], Status.WARN, "has no MX"),
        ([("example.com", "MX", "0 .")], Status.FAIL, "null MX"),
        ([("example.com", "MX", "10 gone.example.")], Status.FAIL, "none of its MX hosts"),
        (
            [
                ("example.com", "MX", "10 alias.example."),
                ("alias.example", "CNAME", "h.example."),
                ("h.example", "A", "203.0.113.5"),
            ],
            *(Status.WARN, "is an alias"),
        ),
    ],
)
async def test_where_replies_go_is_looked_at(
    dns: DnsServer, records: list[tuple[str, str, str]], status: Status, said: str
) -> None:
    for record in records:
        dns.add(*record)
    assert any(said in one.detail for one in of(await check(dns), "mx", status))


async def test_reverse_dns_has_to_lead_back(dns: DnsServer) -> None:
    assert "has no name" in only(await check(dns), "reverse dns", Status.FAIL).detail
    dns.add("5.113.0.203.in-addr.arpa", "PTR", "mail.example.")
    dns.add("mail.example", "A", "203.0.113.6")
    assert "does not lead back" in only(await check(dns), "reverse dns", Status.FAIL).detail
    dns.add("mail.example", "A", "203.0.113.5")
    assert only(await check(dns), "reverse dns", Status.OK)


# ---- the DNS itself


async def test_a_long_answer_comes_over_tcp(good: DnsServer) -> None:
    good.records.pop(("example.com", "TXT"))
    good.add("example.com", "TXT", "v=spf1 ip4:203.0.113.5 -all", *(f"{number}" * 200 for number in range(20)))
    assert of(await check(good), "spf")[-1].detail == "example.com permits 203.0.113.5"
    assert good.over_tcp == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [("servfail", "SERVFAIL; often its DNSSEC"), ("silent", "within 0.5 s"), ("garbage", "cannot be looked up")],
)
async def test_a_dns_that_does_not_answer_is_a_failure_and_no_missing_record(
    good: DnsServer, fault: str, said: str
) -> None:
    good.faults = dict.fromkeys(("example.com", "_dmarc.example.com", "5.113.0.203.in-addr.arpa"), fault)
    findings = await examine(Resolver(good.address, timeout=0.5), Examined(domain="example.com", addresses=[HERE]))
    for kind in ("spf", "dmarc", "mx", "reverse dns"):
        assert said in only(findings, kind, Status.FAIL).detail
        assert "try again" in only(findings, kind, Status.FAIL).advice


async def test_a_hostile_domain_cannot_make_it_ask_without_end(dns: DnsServer) -> None:
    """Each record includes two others: without a limit, without end."""
    for number in range(201):
        twice = 2 * number % 200
        dns.add(f"n{number}.example", "TXT", f"v=spf1 include:n{twice + 1}.example include:n{twice + 2}.example -all")
    dns.add("example.com", "TXT", "v=spf1 include:n1.example -all")
    assert any("look-ups" in one.detail for one in of(await check(dns), "spf", Status.FAIL))
    assert len(dns.asked) < 100


async def test_each_question_is_asked_once(good: DnsServer) -> None:
    await check(good)
    assert len(good.asked) == len(set(good.asked))


async def test_a_name_that_is_none_is_not_there(dns: DnsServer) -> None:
    resolver = Resolver(dns.address)
    long = "a" * 64 + ".example"
    assert await resolver.txt(long) == await resolver.txt("a..example") == await resolver.txt(".") == ()
    assert await Evaluation(resolver, "a@example.com", HERE).run(long) == "none"


# ---- the command


@pytest.fixture
def terminal(
    good: DnsServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Terminal:
    monkeypatch.setenv("CELERIAC_MAIL_RESOLVER", good.address)
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CELERIAC_BROKER_URL", "redis://127.0.0.1:1/0")  # nothing of it is needed
    monkeypatch.delitem(sys.modules, "tests.support.shop_with_mail", raising=False)  # it reads them when imported
    return Terminal("email", "tests.support.shop_with_mail:app", monkeypatch, capsys)


async def test_the_command_prints_findings_and_ends_with_a_code(terminal: Terminal, good: DnsServer) -> None:
    code, printed, _ = await terminal.run("check", "shop@EXAMPLE.com", "--ip", "203.0.113.5")
    assert code == ExitCode.OK
    assert "ok    spf          example.com permits 203.0.113.5\n" in printed
    told = await terminal.json("check", "example.com", "--ip", "203.0.113.5")
    assert told["ok"] and {one["status"] for one in told["findings"]} == {"ok", "warn"}
    code, printed, _ = await terminal.run("check", "example.com", "--ip", "198.51.100.1", "--json")
    assert (code, json.loads(printed)["ok"]) == (ExitCode.FAILURE, False)


async def test_a_stranger_cannot_write_to_the_terminal(terminal: Terminal, good: DnsServer) -> None:
    good.add("evil.example", "TXT", b"v=spf1 \x1b[2J\x9b31m\r\n -all")
    good.add(
        "_dmarc.evil.example", "TXT", b"v=DMARC1; p=reject; rua=mailto:a@evil.example; x=\x1b]0;pwned\x07" + b"y" * 9000
    )
    good.add("s._domainkey.evil.example", "TXT", b"k=\x1b[31m; p=AAAA")
    good.add("evil.example", "MX", r"10 \027[2J.example.")
    good.add("1.100.51.198.in-addr.arpa", "PTR", r"\027[2J.example.")
    for form in ((), ("--json",)):
        code, printed, errors = await terminal.run(
            "check", "evil.example", "--ip", "198.51.100.1", "--selector", "s", *form
        )
        assert code == ExitCode.FAILURE
        assert "is no term of SPF" in printed and "is no kind of key" in printed and "pwned" in printed
        assert (printed + errors).replace("\n", "").isprintable()
        assert len(printed) < 8000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no domain"], "DOMAIN"),
        (["example.com", "--ip", "mail.example.com"], "--ip"),
        (["example.com", "--selector", "a b"], "--selector"),
    ],
)
async def test_wrong_input_is_one_line(terminal: Terminal, arguments: list[str], said: str) -> None:
    code, _, errors = await terminal.run("check", *arguments)
    assert (code, errors.count("\n"), said in errors) == (ExitCode.USAGE, 1, True), errors
