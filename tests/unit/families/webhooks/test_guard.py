"""Which URLs deliveries may go to. Addresses of others' networks are only named here, never connected to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, ip_address

import pytest
from pydantic import ValidationError

from celeriac.families.webhooks import WebhookSettings
from celeriac.families.webhooks.addresses import is_public
from celeriac.families.webhooks.errors import TargetRefused, UrlInvalid
from celeriac.families.webhooks.guard import Guard
from celeriac.families.webhooks.targets import parse_target

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # metadata of Alibaba
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # Azure
    "169.254.169.254",  # metadata of most clouds
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # metadata of Oracle
    "192.0.2.1",
    "192.88.99.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
    "64:ff9b::a9fe:a9fe",  # and of 169.254.169.254
    "64:ff9b:1::808:808",  # NAT64's local prefix
    "100::1",  # discard
    "2001::1",  # Teredo
    "2001:0:7f00:1::",
    "2001:2::1",  # benchmarks
    "2001:10::1",  # ORCHID
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:a9fe:a9fe::1",
    "2a00:1450:4001:80b:0:5efe:7f00:1",  # ISATAP of 127.0.0.1
    "2a00:1450:4001:80b:200:5efe:a00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata of AWS
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.32.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "2a00:1450:4001:80b::200e",
    "2606:4700::1111",
    "64:ff9b::808:808",  # how a host without IPv4 reaches 8.8.8.8
    "::ffff:8.8.8.8",
    "2a00:1450:4001:80b:0:5efe:808:808",
]


def written(address: str) -> str:
    return f"https://[{address}]/hook" if ":" in address else f"https://{address}/hook"


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(TargetRefused) as caught:
        Guard().parse(written(address))
    assert str(caught.value) == str(TargetRefused())  # the same for all, so that it reveals nothing
    assert address not in str(caught.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_that_is_public_is_a_target(address: str) -> None:
    assert is_public(ip_address(address))
    assert Guard().parse(written(address)).address == ip_address(address)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://0177.0.0.1/", "unusual spelling"),
        ("https://0x7f.0.0.1/", "unusual spelling"),
        ("https://0x7f000001/", "unusual spelling"),
        ("https://2130706433/", "unusual spelling"),
        ("https://127.1/", "unusual spelling"),
        ("https://127.0.1/", "unusual spelling"),
        ("https://8.8.8.08/", "unusual spelling"),
        ("https://1.2.3.4.5/", "unusual spelling"),
        ("https://256.1.1.1/", "unusual spelling"),
        ("https://a.0x/", "unusual spelling"),
        ("https://127.0.0.1./", "not a name"),
        ("https://example.com./", "not a name"),
        ("https://a..b/", "not a name"),
        ("https://.a/", "not a name"),
        ("https://-a.example/", "not a name"),
        ("https://%31%32%37.0.0.1/", "unusual spelling"),
        ("https://exa%6dple.com/", "not a name"),
        (f"https://{'a' * 64}.example/", "not a name"),
        (f"https://{'a.' * 126}example/", "not a name"),
        ("https://127\u30020\u30020\u30021/", "not ASCII"),
        ("https://\uff11\uff12\uff17.0.0.1/", "not ASCII"),
        ("https://ⓔxample.com/", "not ASCII"),
        ("https://müller.example/", "xn--"),
        ("https://example.com/ü", "percent"),
        ("https://user@example.com/", "user name"),
        ("https://user:word@127.0.0.1/", "user name"),
        ("https://example.com:443@127.0.0.1/", "user name"),
        ("https://[::1%25eth0]/", "zone"),
        ("https://[fe80::1%eth0]/", "zone"),
        ("https://[127.0.0.1]/", "IPv6"),
        ("https://[v1.a]/", "IPv6"),
        ("https://[::1/", "brackets"),
        ("https://[::1]x/", "brackets"),
        ("https://::1/", "no host"),
        ("https://example.com:0/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://example.com:080/", "port"),
        ("https://example.com:+80/", "port"),
        ("https://example.com:/", "port"),
        ("https://example.com:80:80/", "port"),
        ("https:///path", "no host"),
        ("https://", "no host"),
        ("https://?a=b", "no host"),
        ("https:example.com", "begin with"),
        ("//example.com/", "begin with"),
        ("file:///etc/passwd", "begin with"),
        ("gopher://example.com/", "begin with"),
        ("unix:///run/docker.sock", "begin with"),
        (" https://example.com/", "space"),
        ("https://example.com/a b", "space"),
        ("https://example.com/\r\nX: y", "control"),
        ("https://exam\tple.com/", "control"),
        ("https://example.com\0/", "control"),
        ("https://example.com\\@127.0.0.1/", "characters"),
        ("https:\\\\example.com/", "characters"),
        ("https://example.com/#secret", "fragment"),
        ("https://example.com#@127.0.0.1/", "fragment"),
        (f"https://example.com/{'a' * 2048}", "longer than 2,048"),
        ("", "begin with"),
    ],
)
def test_a_url_that_readers_understand_differently_is_refused(url: str, says: str) -> None:
    with pytest.raises(UrlInvalid, match=says):
        Guard().parse(url)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/Hook", "https://example.com/Hook"),
        ("http://example.com:80?a=b", "http://example.com/?a=b"),
        ("http://example.com:8080/a%20b?c=%2F&d", "http://example.com:8080/a%20b?c=%2F&d"),
        ("https://xn--mller-kva.example/", "https://xn--mller-kva.example/"),
        ("https://a_b.example/x//../y;z=1,2", "https://a_b.example/x//../y;z=1,2"),
        ("https://[2606:4700:0:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://1password.com/", "https://1password.com/"),
        ("https://0x7f.example/", "https://0x7f.example/"),
    ],
)
def test_what_is_asked_for_is_what_the_url_says(url: str, asked: str) -> None:
    assert parse_target(url).url == asked


def answering(*addresses: str) -> Guard:
    return Guard(look_up=lambda _: [ip_address(each) for each in addresses])


@pytest.mark.parametrize("found", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "::1"], ["fe80::1"]])
async def test_a_name_of_which_one_address_is_not_public_is_refused(found: Sequence[str]) -> None:
    guard = answering(*found)
    with pytest.raises(TargetRefused):
        await guard.resolve(guard.parse("https://example.com/"))
    guard.close()


async def test_a_name_with_public_addresses_has_them() -> None:
    guard = answering("8.8.8.8", "2606:4700::1111")
    assert await guard.resolve(guard.parse("https://example.com/")) == [
        ip_address("8.8.8.8"),
        ip_address("2606:4700::1111"),
    ]
    guard.close()


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("10.1.0.0/16", "http://10.1.2.3:9000/"),
        (IPv4Network("10.1.0.0/16"), "http://10.1.2.3/"),
        ("127.0.0.1", "http://127.0.0.1:8080/"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/"),
        ("::1", "http://[::1]/"),
        ("[::1]", "http://[::1]/"),
        ("[::1]:9000", "http://[::1]:9000/"),
        ("fd00::/8", "http://[fd00:1::1]/"),
    ],
)
def test_what_is_allowed_is_a_target(allowed: str | IPv4Network, url: str) -> None:
    target = Guard([allowed]).parse(url)
    Guard([allowed]).check_connection(str(target.address), target.port)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("10.1.0.0/16", "http://10.2.0.1/"),
        ("127.0.0.1", "http://127.0.0.2/"),
        ("127.0.0.1:9000", "http://127.0.0.1:9001/"),
        ("127.0.0.1:9000", "http://127.0.0.1/"),
        ("localhost:9000", "http://127.0.0.1:9000/"),
        ("::1", "http://127.0.0.1/"),
    ],
)
def test_what_is_not_allowed_stays_refused(allowed: str, url: str) -> None:
    guard = Guard([allowed])
    with pytest.raises(TargetRefused):
        guard.parse(url)


async def test_a_name_that_is_allowed_may_be_anywhere_and_opens_its_address_to_nobody_else() -> None:
    guard = Guard(["hooks.internal:8080"], look_up=lambda _: [ip_address("10.0.0.5")])
    assert await guard.look_up("hooks.internal", 8080) == [ip_address("10.0.0.5")]
    guard.check_connection("10.0.0.5", 8080)
    for host, port in (("hooks.internal", 8081), ("other.internal", 8080)):
        with pytest.raises(TargetRefused):
            await guard.look_up(host, port)
    with pytest.raises(TargetRefused):
        guard.check_connection("10.0.0.5", 8081)
    with pytest.raises(TargetRefused):
        guard.parse("http://10.0.0.5:8080/")
    guard.close()


@pytest.mark.parametrize("entry", ["10.1.0.1/16", "example.com", "a b:80", ":80", "http://a:80", "a:99999", "*", ""])
def test_an_entry_that_allows_nothing_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is neither a network") as caught:
        Guard([entry])
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize("entry", ["hooks.internal:8080", "[fd00::1]:443", "fd00::/8", "10.0.0.0/8", "127.0.0.1:9000"])
def test_the_setting_takes_what_the_guard_takes(entry: str) -> None:
    assert WebhookSettings(webhook_allow=(entry,)).webhook_allow == (entry,)


@pytest.mark.parametrize("entry", ["hooks.internal", "10.0.0.0/99", "hooks.internal:0", "127.0.0.1:x", "a b:80"])
def test_the_setting_refuses_what_the_guard_refuses_and_names_it(entry: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(repr(entry))):
        WebhookSettings(webhook_allow=(entry,))
