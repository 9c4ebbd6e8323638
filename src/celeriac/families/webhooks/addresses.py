"""Says which IP addresses lie inside of a network, or may lead there: those that a stranger's URL must not reach."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IANA's registry of special-purpose IPv4 addresses (RFC 6890 and its updates), multicast, and what is reserved.
_INSIDE_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # behind the NAT of a carrier (RFC 6598); metadata of Alibaba
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # the platform of Azure: a public address that only its machines reach
        "169.254.0.0/16",  # link-local (RFC 3927); metadata of most clouds
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890); metadata of Oracle
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT (RFC 7450)
        "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), and broadcast (RFC 919)
    )
]
#: The only part of IPv6 that is assigned to the public (RFC 4291). Loopback, link-local, unique local, multicast,
#: IPv4-compatible and the local prefix of NAT64 (64:ff9b:1::/48) are outside of it.
_PUBLIC_V6 = IPv6Network("2000::/3")
_INSIDE_V6 = [
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): a relay sends it on to the IPv4 address in it, and nobody needs it any more
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
    )
]
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2: the system connects to the IPv4 address
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how hosts without IPv4 reach all of it
#: The upper half of the interface identifier of ISATAP (RFC 5214, 6.1), with its two values of the universal bit.
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: Address) -> bool:
    """Whether `address`, and each IPv4 address in it that its packets may end at, is assigned to the public."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _INSIDE_V4)
    if address in _MAPPED or address in _NAT64:
        return is_public(_low_32_bits(address))
    if address not in _PUBLIC_V6 or any(address in network for network in _INSIDE_V6):
        return False
    return not _is_isatap(address) or is_public(_low_32_bits(address))


def forms(address: Address) -> Iterator[Address]:
    """Yield `address`, and the IPv4 address that a connection to it reaches."""
    yield address
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        yield _low_32_bits(address)


def _is_isatap(address: IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFFFFFF in _ISATAP


def _low_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
