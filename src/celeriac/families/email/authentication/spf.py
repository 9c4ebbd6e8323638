"""Evaluates SPF (RFC 7208, 4 and 5): whether a domain's record permits an address to send for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, ip_network

from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.authentication.server import Address
from celeriac.families.email.authentication.spf_record import SpfRecord, Term, expand, is_spf, parse_spf

#: Terms that cost a look-up, and look-ups that find nothing, of one evaluation (4.6.4).
MOST_LOOKUPS, MOST_VOIDS = 10, 2
#: Hosts of one `mx`.
_MOST_HOSTS = 10
#: Where counting ends: includes that go round in a circle have no end.
_GIVE_UP = 40


class Outcome(StrEnum):
    """The result of an evaluation (2.6). `PERMERROR` is an SpfError."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"


_QUALIFIERS = {"+": Outcome.PASS, "-": Outcome.FAIL, "~": Outcome.SOFTFAIL, "?": Outcome.NEUTRAL}


class SpfError(Exception):
    """A record that receivers do not evaluate (`permerror`). `advice` says what to do."""

    def __init__(self, fault: str, advice: str) -> None:
        self.advice = advice
        super().__init__(fault)


@dataclass
class Evaluation:
    """One evaluation of a domain's record.

    Without an address, none matches but `all`: then it counts what the worst case costs, beyond the limit too.

    Attributes:
        lookups: the terms that cost a look-up.
        voids: names that were looked up and have nothing.
        discouraged: terms with `ptr`, which receivers may leave out.
    """

    resolver: Resolver
    sender: str
    address: Address | None = None
    lookups: list[str] = field(default_factory=list[str])
    voids: list[str] = field(default_factory=list[str])
    discouraged: list[str] = field(default_factory=list[str])

    async def run(self, domain: str) -> Outcome:
        """Evaluate the record of a domain.

        Raises:
            SpfError: receivers take none of it.
            LookupFailed: the DNS does not answer.
        """
        record = await record_of(self.resolver, domain)
        if record is None:
            return Outcome.NONE
        for term in record.terms:
            if await self._matches(term, domain):
                return _QUALIFIERS[term.qualifier]
        if record.redirect is None:
            return Outcome.NEUTRAL
        return await self._other(f"redirect={record.redirect}", record.redirect, domain)

    async def _other(self, text: str, spec: str, domain: str) -> Outcome:
        """Evaluate the record that another one names."""
        self._count(text)
        target = self._filled(spec, domain)
        if target is None:
            return Outcome.NEUTRAL
        outcome = await self.run(target)
        if outcome is Outcome.NONE:
            raise SpfError(f"the SPF record of {domain} has {text}, and {target} has no SPF record", f"take {text} out")
        return outcome

    async def _matches(self, term: Term, domain: str) -> bool:
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                return self.address is not None and term.network is not None and self.address in term.network
            case "include":
                return await self._other(term.text, term.domain, domain) is Outcome.PASS
            case _:
                self._count(term.text)
        target = self._filled(term.domain or domain, domain)
        if target is None:
            return False
        match term.name:
            case "a":
                return self._within(term, await self._found(target))
            case "mx":
                return await self._takes_mail(term, target)
            case "ptr":
                return await self._is_named(term, target)
            case _:  # exists: always of IPv4 (5.7)
                return bool(await self._found(target, IPv4Address))

    async def _takes_mail(self, term: Term, target: str) -> bool:
        hosts = [host for _, host in await self.resolver.mail_hosts(target) if host]
        if not hosts:
            self.voids.append(target)
        if len(hosts) > _MOST_HOSTS:
            raise SpfError(
                f"{term.text}: {target} has {len(hosts)} MX hosts, more than {_MOST_HOSTS}", "use ip4: and ip6:"
            )
        return any([self._within(term, await self._found(host)) for host in hosts])

    async def _is_named(self, term: Term, target: str) -> bool:
        self.discouraged.append(term.text)
        if self.address is None:
            return False
        names = await self.resolver.confirmed_names_of(self.address)
        return any(f".{name}".endswith(f".{target.lower()}") for name in names)

    async def _found(self, name: str, kind: type[Address] | None = None) -> list[Address]:
        """Return the addresses of a host that are of the same kind as ours. Note if there is nothing."""
        kind = kind or (None if self.address is None else type(self.address))
        found = await self.resolver.addresses(name, kind)
        if not found:
            self.voids.append(name)
        return found

    def _within(self, term: Term, found: list[Address]) -> bool:
        bits = {4: term.bits4, 6: term.bits6}
        return self.address is not None and any(
            one.version == self.address.version
            and self.address in ip_network(f"{one}/{bits[one.version]}", strict=False)
            for one in found
        )

    def _filled(self, spec: str, domain: str) -> str | None:
        """Return a domain with its macros filled in; None: that takes an address, and there is none."""
        if "%" not in spec:
            return spec.rstrip(".").lower()
        return None if self.address is None else expand(spec, domain, self.address, self.sender)

    def _count(self, text: str) -> None:
        self.lookups.append(text)
        limit = _GIVE_UP if self.address is None else MOST_LOOKUPS
        if len(self.lookups) > limit:
            raise SpfError(f"the SPF record takes more than {limit} look-ups, and receivers make {MOST_LOOKUPS}", FEWER)


#: What to do about too many look-ups.
FEWER = "take out includes that are not needed, or put ip4: and ip6: in their place"


async def published(resolver: Resolver, domain: str) -> list[str]:
    """Return the SPF records of a domain, as they are written."""
    return [text for text in await resolver.txt(domain) if is_spf(text)]


async def record_of(resolver: Resolver, domain: str) -> SpfRecord | None:
    """Return the SPF record of a domain, or None.

    Raises:
        SpfError: there are several, or it is wrong.
        LookupFailed: the DNS does not answer.
    """
    found = await published(resolver, domain)
    if len(found) > 1:
        raise SpfError(
            f"{domain} has {len(found)} SPF records, and receivers take none of them", "make one record of them"
        )
    try:
        return parse_spf(found[0]) if found else None
    except ValueError as error:
        raise SpfError(f"the SPF record of {domain} is wrong: {error}", "correct it") from None
