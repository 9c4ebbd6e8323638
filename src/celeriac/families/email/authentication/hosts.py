"""What `celeriac email check` says of MX records and of reverse DNS."""

from __future__ import annotations

from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.core.printable import shortened
from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.authentication.server import Address
from celeriac.families.email.authentication.spf_findings import Senders
from celeriac.families.email.errors import LookupFailed

_AGAIN = "try again, or ask another server with CELERIAC_MAIL_RESOLVER"


async def check_mx(resolver: Resolver, domain: str, purpose: str) -> list[Finding]:
    """Look at whether mail to a domain can be delivered. `purpose` says what comes there: replies, or bounces."""
    try:
        return await _hosts(resolver, domain, purpose)
    except LookupFailed as error:
        return [fail("mx", str(error), _AGAIN)]


async def _hosts(resolver: Resolver, domain: str, purpose: str) -> list[Finding]:
    hosts = [host for _, host in await resolver.mail_hosts(domain)]
    if hosts == [""]:
        detail = f"{domain} takes no mail (null MX), so {purpose} cannot come back; many receivers refuse such senders"
        return [fail("mx", detail, "publish the host that takes its mail")]
    if not hosts:
        if await resolver.addresses(domain):
            detail = f"{domain} has no MX; {purpose} go to the address of {domain} itself"
            return [warn("mx", detail, "publish an MX record, if another host takes its mail")]
        detail = (
            f"{domain} has neither MX nor address, so {purpose} cannot come back; many receivers refuse such senders"
        )
        advice = "publish the host that takes its mail, for example:"
        return [Finding("mx", Status.FAIL, detail, advice, f"{domain} MX 10 mail.{domain}")]
    found = list[Finding]()
    reached = list[str]()
    for host in hosts:
        if await resolver.is_alias(host):
            advice = "name the host that it stands for (RFC 2181, 10.3)"
            found.append(warn("mx", f"{domain}: its MX {host} is an alias (CNAME)", advice))
        if await resolver.addresses(host):
            reached.append(host)
        else:
            advice = "correct it, or take it out"
            found.append(warn("mx", f"{domain}: its MX {host} has no address", advice))
    if not reached:
        detail = f"{domain}: none of its MX hosts has an address, so {purpose} cannot come back"
        return [*found, fail("mx", detail, "name a host that has one")]
    return [ok("mx", f"{domain}: {shortened(', '.join(reached), 200)} ({purpose})"), *found]


async def check_reverse(resolver: Resolver, senders: Senders) -> list[Finding]:
    """Look at whether the names that reverse DNS gives to addresses lead back to them."""
    return [await _reverse(resolver, senders, address) for address in senders.addresses]


async def _reverse(resolver: Resolver, senders: Senders, address: Address) -> Finding:
    shown = f"{address}" if senders.known else f"{address} ({senders.place})"
    bad = fail if senders.known else warn
    owner = "ask the owner of the address (your provider) to name a host of yours"
    try:
        names = await resolver.names_of(address)
        confirmed = await resolver.confirmed_names_of(address)
    except LookupFailed as error:
        return bad("reverse dns", str(error), _AGAIN)
    if not names:
        return bad("reverse dns", f"{shown} has no name, so large receivers refuse its mails", owner)
    if not confirmed:
        listed = shortened(", ".join(names), 200)
        detail = f"{shown} is called {listed}, which does not lead back to it"
        return bad("reverse dns", detail, f"give that name the address {address}, or {owner}")
    return ok("reverse dns", f"{shown} leads to {shortened(', '.join(confirmed), 200)}, and back")
