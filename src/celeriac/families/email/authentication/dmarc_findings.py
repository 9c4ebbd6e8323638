"""What `celeriac email check` says of DMARC, and whether SPF and DKIM vouch for the domain that readers see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.core.printable import shortened
from celeriac.families.email.authentication.dmarc_record import (
    DmarcRecord,
    Policy,
    is_dmarc,
    organization_of,
    parse_dmarc,
    records_at,
    walk,
)
from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.dkim_keys import is_name
from celeriac.families.email.errors import LookupFailed

_SHOWN = 300
_MOST_REPORTS = 5


@dataclass(frozen=True, slots=True)
class Vouching:
    """What vouches for a domain's mails.

    Attributes:
        return_path: the domain of the return path, which SPF vouches for.
        permitted: whether SPF permits the addresses that mails leave from; None: these are unknown.
        signing: the domains of the signatures that can be verified.
        signatures_known: whether there were keys to look at.
    """

    return_path: str
    permitted: bool | None
    signing: Sequence[str]
    signatures_known: bool


async def check_dmarc(resolver: Resolver, domain: str, vouching: Vouching) -> list[Finding]:
    """Look at the policy for a sender's domain, and at the alignment of what vouches for its mails."""
    try:
        record = await _policy(resolver, domain)
        if isinstance(record, Finding):
            return [record]
        found = [_strength(record, domain), *await _reports(resolver, record)]
        return [*found, await _alignment(resolver, record, domain, vouching)]
    except LookupFailed as error:
        return [fail("dmarc", str(error), "try again, or ask another server with CELERIAC_MAIL_RESOLVER")]


async def _policy(resolver: Resolver, domain: str) -> DmarcRecord | Finding:
    """Return the record that holds for a domain, or what is wrong."""
    texts = await records_at(resolver, domain)
    if len(texts) > 1:
        detail = f"_dmarc.{domain} has {len(texts)} DMARC records, and receivers take none of them"
        return fail("dmarc", detail, "make one record of them")
    if texts:
        try:
            return parse_dmarc(domain, texts[0])
        except ValueError as error:
            detail = f"_dmarc.{domain}: {shortened(texts[0], _SHOWN)}: {error}"
            return fail("dmarc", detail, "correct it: receivers take it for none")
    above = await walk(resolver, domain)
    if above:
        return above[-2] if above[-1].psd == "y" and len(above) > 1 else above[-1]
    detail = f"{domain} has no DMARC record, which large receivers ask of those who send bulk mail"
    text = f"_dmarc.{domain} TXT v=DMARC1; p=none; rua=mailto:postmaster@{domain}"
    return Finding("dmarc", Status.FAIL, detail, "publish one; begin with a policy that only reports:", text)


def _strength(record: DmarcRecord, domain: str) -> Finding:
    policy = record.policy_for(domain)
    shown = f"_dmarc.{record.domain}: {shortened(record.text, _SHOWN)}"
    if record.domain != domain:
        shown += f" (for {domain}: {policy})"
    if policy is Policy.NONE:
        advice = "when the reports name none of your own mails, make it p=quarantine, later p=reject"
        return warn("dmarc", f"{shown}: forged mails are delivered", advice)
    if record.percent < 100:
        detail = f"{shown}: some receivers apply the policy to {record.percent} % of the mails only"
        return warn("dmarc", detail, "take pct= out of the record")
    return ok("dmarc", shown)


async def _reports(resolver: Resolver, record: DmarcRecord) -> list[Finding]:
    if not record.reports:
        advice = f"add rua=mailto:postmaster@{record.domain}, or another address"
        return [warn("dmarc", f"_dmarc.{record.domain} names no address for reports", advice)]
    found = list[Finding]()
    for uri in record.reports[:_MOST_REPORTS]:
        scheme, _, rest = uri.partition(":")
        local, _, host = rest.partition("!")[0].rstrip(".").lower().rpartition("@")
        if scheme.lower() != "mailto" or not local or not is_name(host):
            shown = shortened(uri, 100)
            found.append(warn("dmarc", f"rua={shown} is no address that gets reports", "write rua=mailto:address"))
        elif not await _takes_reports(resolver, record.domain, host):
            name = f"{record.domain}._report._dmarc.{host}"
            detail = f"{host} does not say that it takes reports about {record.domain}, so receivers send none"
            found.append(Finding("dmarc", Status.WARN, detail, "have it publish:", f"{name} TXT v=DMARC1"))
    return found


async def _takes_reports(resolver: Resolver, domain: str, host: str) -> bool:
    """Return whether another organization agrees to get reports about a domain (RFC 9990, 4)."""
    if await _same_organization(resolver, domain, host):
        return True
    return any(map(is_dmarc, await resolver.txt(f"{domain}._report._dmarc.{host}")))


async def _alignment(resolver: Resolver, record: DmarcRecord, domain: str, vouching: Vouching) -> Finding:
    """Say whether what vouches does so for the domain that readers see. One of SPF and DKIM is enough."""
    spf = await _aligned(resolver, domain, vouching.return_path, strict=record.strict_spf)
    dkim = [one for one in vouching.signing if await _aligned(resolver, domain, one, strict=record.strict_dkim)]
    ways = [f"DKIM ({', '.join(dict.fromkeys(dkim))})"] if dkim else []
    ways += [f"SPF ({vouching.return_path})"] if spf and vouching.permitted else []
    if ways:
        return ok("alignment", f"{' and '.join(ways)} vouch{'es' if len(ways) == 1 else ''} for {domain}")
    advice = f"sign with a key of {domain}, or let bounces return to an address there (CELERIAC_MAIL_BOUNCE_ADDRESS)"
    if spf and vouching.permitted is None:
        detail = f"only SPF vouches for {domain}, if mails leave from addresses that it permits"
        return warn("alignment", detail, f"sign with a key of {domain}: SPF fails for mails that are forwarded")
    why_spf = f"{vouching.return_path} is another organization" if not spf else "it fails"
    why_dkim = "no good key" if not vouching.signing else f"{', '.join(vouching.signing)} is not {domain}"
    detail = f"neither SPF ({why_spf}) nor DKIM ({why_dkim}) vouches for {domain}"
    if not vouching.signatures_known:
        return warn("alignment", f"{detail}, as far as Celeriac can see", advice)
    return fail("alignment", f"{detail}, so its mails fail DMARC", advice)


async def _aligned(resolver: Resolver, domain: str, other: str, *, strict: bool) -> bool:
    return domain == other if strict else await _same_organization(resolver, domain, other)


async def _same_organization(resolver: Resolver, one: str, other: str) -> bool:
    return one == other or await organization_of(resolver, one) == await organization_of(resolver, other)
