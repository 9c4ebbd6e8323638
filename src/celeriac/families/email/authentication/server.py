"""Reads the address of a DNS server, as the setting has it. It imports no client: settings are read by each process."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

_EXPECTED = "expected the address of a DNS server: 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53"


def parse_server(text: str) -> tuple[Address, int]:
    """Read `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`.

    Raises:
        ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, "53"
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(_EXPECTED)
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")), int(port)
    except ValueError:
        raise ValueError(_EXPECTED) from None
