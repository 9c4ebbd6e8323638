"""The whole of `celeriac email check`: a domain, as receivers of its mails see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from celeriac.core.findings import Finding
from celeriac.families.email.authentication.dkim_findings import check_dkim
from celeriac.families.email.authentication.dmarc_findings import Vouching, check_dmarc
from celeriac.families.email.authentication.hosts import check_mx, check_reverse
from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.authentication.server import Address
from celeriac.families.email.authentication.spf_findings import Senders, check_spf
from celeriac.families.email.dkim import DkimKey
from celeriac.families.email.errors import LookupFailed

#: Addresses that nobody outside sees: what mails leave from is another one.
_INTERNAL = [
    ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                 "::1/128", "fc00::/7", "fe80::/10")
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What is known of a domain's mails.

    Attributes:
        domain: the domain of the sender.
        return_path: the address that bounces return to; None: the sender's.
        hosts: the mail servers that mails are given to.
        addresses: the addresses that they leave from, as the caller says.
        keys: those that sign.
        selectors: others, whose private key somebody else has.
    """

    domain: str
    return_path: str | None = None
    hosts: Sequence[str] = ()
    addresses: Sequence[Address] = ()
    keys: Sequence[DkimKey] = ()
    selectors: Sequence[str] = ()


async def examine(resolver: Resolver, mail: Examined) -> list[Finding]:
    """Return what the DNS says of a domain's mails, and what to mend."""
    sender = mail.return_path or f"postmaster@{mail.domain}"
    returns_to = sender.rpartition("@")[2].lower()
    senders = await _senders(resolver, mail)
    spf, dkim, mx, reverse = await asyncio.gather(
        check_spf(resolver, sender, senders),
        check_dkim(resolver, mail.domain, mail.keys, mail.selectors),
        _mx(resolver, mail.domain, returns_to),
        check_reverse(resolver, senders),
    )
    dmarc = await check_dmarc(resolver, mail.domain, Vouching(returns_to, spf.given, dkim.domains, dkim.known))
    return [*spf.findings, *dkim.findings, *dmarc, *mx, *reverse]


async def _mx(resolver: Resolver, domain: str, returns_to: str) -> list[Finding]:
    if domain == returns_to:
        return await check_mx(resolver, domain, "replies and bounces")
    return [*await check_mx(resolver, domain, "replies"), *await check_mx(resolver, returns_to, "bounces")]


async def _senders(resolver: Resolver, mail: Examined) -> Senders:
    """Return the addresses that mails leave from: as the caller says, or else those of the mail servers."""
    if mail.addresses:
        return Senders(tuple(mail.addresses), known=True)
    if not mail.hosts:
        return Senders((), known=False, place="CELERIAC_SMTP_URL is not set")
    try:
        found = [address for host in mail.hosts for address in await _addresses(resolver, host)]
    except LookupFailed as error:
        return Senders((), known=False, place=str(error))
    outside = [
        one for one in found if not any(one in network for network in _INTERNAL if network.version == one.version)
    ]
    hosts = ", ".join(mail.hosts)
    place = hosts if outside else f"{hosts} has no public address"
    return Senders(tuple(dict.fromkeys(outside)), known=False, place=place)


async def _addresses(resolver: Resolver, host: str) -> list[Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        return await resolver.addresses(host)
