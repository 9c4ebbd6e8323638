"""Asks the DNS. Each question is asked once, and what comes back is text from strangers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

from celeriac.core.errors import ConfigurationError
from celeriac.families.email.authentication.server import Address, parse_server
from celeriac.families.email.errors import LookupFailed

#: Questions of one check. A domain of a stranger's making could ask for any number.
_MOST = 500
#: Names of one address that are looked up.
_MOST_NAMES = 10
#: What a UDP answer may have without being cut into fragments (DNS flag day 2020).
_UDP_SIZE = 1232


class Resolver:
    """A client of the DNS. `server` is `address` or `address:port`; None: as the system is configured.

    Raises:
        ConfigurationError: the system has no resolver.
    """

    def __init__(self, server: str | None = None, timeout: float = 5.0) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration:
            raise ConfigurationError("this system names no DNS server: set CELERIAC_MAIL_RESOLVER") from None
        if server is not None:
            address, self._resolver.port = parse_server(server)
            self._resolver.nameservers = [str(address)]
        self._timeout = timeout
        self._resolver.use_edns(0, 0, _UDP_SIZE)
        self._asked: dict[tuple[str, str], asyncio.Task[tuple[str, ...]]] = {}

    async def txt(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name. The strings of each are joined; bytes beyond ASCII are escaped."""
        return await self._ask(name, "TXT")

    async def addresses(self, name: str, kind: type[Address] | None = None) -> list[Address]:
        """Return the addresses of a host: those of IPv4 and IPv6, or of one of them."""
        kinds = {IPv4Address: ("A",), IPv6Address: ("AAAA",)}.get(kind, ("A", "AAAA")) if kind else ("A", "AAAA")
        answers = await asyncio.gather(*(self._ask(name, one) for one in kinds))
        return [ip_address(value) for answer in answers for value in answer]

    async def is_alias(self, name: str) -> bool:
        """Return whether the name is an alias (CNAME)."""
        return bool(await self._ask(name, "CNAME"))

    async def mail_hosts(self, name: str) -> list[tuple[int, str]]:
        """Return the hosts that take mail for a domain, with their preference, the best first."""
        pairs = (value.split(" ", 1) for value in await self._ask(name, "MX"))
        return sorted((int(preference), host.rstrip(".").lower()) for preference, host in pairs)

    async def names_of(self, address: Address) -> list[str]:
        """Return the names that reverse DNS gives to an address."""
        pointer = dns.reversename.from_address(str(address)).to_text(omit_final_dot=True)
        return [value.rstrip(".").lower() for value in await self._ask(pointer, "PTR")]

    async def confirmed_names_of(self, address: Address) -> list[str]:
        """Return those of these names, up to ten, that have the address themselves."""
        names = (await self.names_of(address))[:_MOST_NAMES]
        return [name for name in names if address in await self.addresses(name, type(address))]

    async def _ask(self, name: str, kind: str) -> tuple[str, ...]:
        """Raises LookupFailed: the DNS does not say whether there is an answer."""
        question = (name.rstrip(".").lower(), kind)
        if question not in self._asked:
            if len(self._asked) >= _MOST:
                raise LookupFailed(name, f"this check has asked {_MOST} questions already")
            self._asked[question] = asyncio.create_task(self._resolve(*question))
        return await self._asked[question]

    async def _resolve(self, name: str, kind: str) -> tuple[str, ...]:
        try:
            found = await self._resolver.resolve(
                name + ".", kind, raise_on_no_answer=False, search=False, lifetime=self._timeout
            )
        except dns.resolver.NXDOMAIN:
            return ()
        except dns.resolver.LifetimeTimeout:
            raise LookupFailed(name, f"the DNS did not answer within {self._timeout:g} s") from None
        except dns.resolver.NoNameservers as error:
            raise LookupFailed(name, _reason(error)) from None
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
            return ()  # no name can be so
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise LookupFailed(name, f"the DNS gave no good answer: {error}"[:300]) from None
        return tuple(_text(rdata) for rdata in cast("Iterable[Any]", found.rrset or ()))


def networks(addresses: Iterable[Address]) -> str:
    """Return the mechanisms of SPF that permit these addresses."""
    return " ".join(f"ip{address.version}:{address}" for address in addresses)


def _text(rdata: Any) -> str:
    if rdata.rdtype == dns.rdatatype.TXT:
        return b"".join(rdata.strings).decode("ascii", "backslashreplace")
    return rdata.to_text()


def _reason(error: dns.resolver.NoNameservers) -> str:
    """Say what the servers answered, or why none could be asked."""
    errors = cast("list[tuple[Any, ...]]", vars(error)["kwargs"].get("errors") or [])
    said = [str(one[3]) for one in errors] or [str(error)]
    hint = "; often its DNSSEC is broken" if "SERVFAIL" in said[-1] else ""
    return f"the DNS answered {said[-1][:200]}{hint}"
