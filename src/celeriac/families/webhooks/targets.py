"""Reads the URL of an endpoint, strictly: where two readers might understand it differently, it is refused."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from celeriac.families.webhooks.addresses import Address
from celeriac.families.webhooks.errors import UrlInvalid

_LONGEST_URL = 2048
_LONGEST_NAME = 253
_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
#: A last label that some reader takes for a number: it takes the whole name for an IPv4 address then.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes.

    Attributes:
        url: the whole URL, as it is asked for.
        scheme: `https` or `http`.
        host: a name in lower case, or an address without brackets.
        port: from 1 to 65535.
        address: the address, if the URL has one in place of a name.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: Address | None = None


def parse_target(url: str) -> Target:
    """Read `url`: `https://` or `http://`, a host, maybe a port, a path and a query, all in ASCII (RFC 3986).

    Raises:
        UrlInvalid: the message says what to change.
    """
    _check_text(url)
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise UrlInvalid("the URL must begin with https:// or http://")
    authority = rest.partition("/")[0].partition("?")[0]
    if "@" in authority:
        raise UrlInvalid("the URL has a user name before its host; give credentials as a header of the endpoint")
    tail = rest[len(authority) :]
    host, port = _split(authority, _PORTS[scheme])
    address = _address(host)
    name = host.lower() if address is None else str(address)
    shown = f"[{name}]" if isinstance(address, IPv6Address) else name
    at_port = "" if port == _PORTS[scheme] else f":{port}"
    path = tail if tail.startswith("/") else f"/{tail}"
    return Target(f"{scheme}://{shown}{at_port}{path}", scheme, name, port, address)


def _check_text(url: str) -> None:
    if len(url) > _LONGEST_URL:
        raise UrlInvalid(f"the URL is longer than {_LONGEST_URL:,} characters")
    if not url.isascii():
        raise UrlInvalid(
            "the URL has characters that are not ASCII: write its host in the form that begins with xn--, "
            "and encode its path with percent signs"
        )
    if any(not "!" <= each <= "~" for each in url):
        raise UrlInvalid("the URL has a space or a control character: encode it with a percent sign, or leave it out")
    if any(each in url for each in '\\"<>^`{|}'):
        raise UrlInvalid('the URL has one of the characters \\ " < > ^ ` { | }: encode it with a percent sign')
    if "#" in url:
        raise UrlInvalid("the URL has a fragment, which no server gets to see: leave out # and what follows it")


def _split(authority: str, usual_port: int) -> tuple[str, int]:
    """Return the host and the port of `authority`."""
    host, bracket, port = authority, "", ""
    if authority.startswith("["):
        host, bracket, port = authority.partition("]")
        host += bracket
        if not bracket or (port and not port.startswith(":")):
            raise UrlInvalid("the URL has an IPv6 address that is not in brackets as a whole: write https://[...]:443/")
        port = port[1:] if port else None
    elif ":" in authority:
        host, _, port = authority.partition(":")
    else:
        port = None
    if not host:
        raise UrlInvalid("the URL names no host")
    if port is None:
        return host, usual_port
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise UrlInvalid("the URL's port must be a number from 1 to 65535, without zeros before it")
    return host, int(port)


def _address(host: str) -> Address | None:
    """Return the address that `host` is. None: it is a name."""
    if host.startswith("["):
        with suppress(ValueError):
            address = ip_address(host[1:-1])
            if isinstance(address, IPv6Address) and address.scope_id is None:
                return address
        raise UrlInvalid("the URL has brackets without an IPv6 address in them; a zone (%) is not possible")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        with suppress(ValueError):
            return IPv4Address(host)  # four decimal numbers without zeros before them, and nothing else
        raise UrlInvalid("the URL's host looks like an IPv4 address in an unusual spelling: write it as 192.0.2.1")
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise UrlInvalid(
            "the URL's host is not a name as DNS has them: letters, digits and hyphens between single dots, "
            "none of them at the end"
        )
    return None
