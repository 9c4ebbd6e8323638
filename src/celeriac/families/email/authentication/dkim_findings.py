"""What `celeriac email check` says of DKIM: whether the keys that sign are those that the DNS has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.families.email.authentication.dkim_record import PublishedKey, parse_key, record_text
from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.dkim import DkimKey
from celeriac.families.email.dkim_keys import GOOD_RSA, SMALLEST_RSA
from celeriac.families.email.errors import LookupFailed


@dataclass
class Signatures:
    """What is known of the signatures. `domains` are those of the keys that receivers can verify with. `known`: there
    were keys to look at."""

    findings: list[Finding] = field(default_factory=list[Finding])
    domains: list[str] = field(default_factory=list[str])
    known: bool = True


async def check_dkim(resolver: Resolver, domain: str, keys: Sequence[DkimKey], selectors: Sequence[str]) -> Signatures:
    """Look at the public halves of our keys, and at other selectors of the domain, whose keys others have."""
    places = [(key.selector, signing, key) for key in keys if (signing := key.domain_for(domain)) is not None]
    mine = {(selector.lower(), signing.lower()) for selector, signing, _ in places}
    theirs = [(one, domain, None) for one in dict.fromkeys(selectors) if (one.lower(), domain) not in mine]
    signatures = Signatures()
    for (_, signing, _), finding in zip(
        [*places, *theirs],
        await asyncio.gather(*(_check(resolver, *place) for place in [*places, *theirs])),
        strict=True,
    ):
        signatures.findings.append(finding)
        if finding.status is not Status.FAIL:
            signatures.domains.append(signing.lower())
    if not signatures.findings:
        signatures.known = False
        signatures.findings.append(
            warn(
                "dkim",
                f"Celeriac has no key for {domain} (CELERIAC_MAIL_DKIM_KEYS), so it signs none of its mails",
                "make one; or if your mail server signs, name its selector with --selector",
            )
        )
    return signatures


async def _check(resolver: Resolver, selector: str, domain: str, key: DkimKey | None) -> Finding:
    name = f"{selector}._domainkey.{domain}"
    try:
        texts = await resolver.txt(name)
    except LookupFailed as error:
        return fail("dkim", str(error), "try again, or ask another server with CELERIAC_MAIL_RESOLVER")
    if len(texts) != 1:
        fault = f"has {len(texts)} TXT records, and receivers may take any" if texts else "is not there"
        return _to_publish(name, fault, key)
    (text,) = texts
    try:
        published = parse_key(text)
    except ValueError as error:
        return _to_publish(name, f"is wrong: {error}", key)
    return _compared(name, published, key)


def _compared(name: str, published: PublishedKey, key: DkimKey | None) -> Finding:
    if published.revoked:
        return _to_publish(name, "is revoked (its p= is empty)", key)
    if key is not None and (published.kind, published.public) != (_kind(key), key.public):
        return _to_publish(name, "is not the public half of our key", key)
    if 0 < published.bits < SMALLEST_RSA:
        return _to_publish(name, f"is an RSA key of {published.bits} bits, which receivers refuse", key)
    size = f"{published.kind} of {published.bits} bits" if published.bits else published.kind
    if published.testing:
        detail = f"{name} says t=y, a test: receivers may treat mails as unsigned"
        return warn("dkim", detail, "take t=y out of the record")
    if 0 < published.bits < GOOD_RSA:
        advice = f"make a key of {GOOD_RSA} bits with a new selector"
        return warn("dkim", f"{name}: {size}, which some receivers do not accept", advice)
    return ok("dkim", f"{name}: {size}{', the key that signs' if key is not None else ''}")


def _to_publish(name: str, fault: str, key: DkimKey | None) -> Finding:
    if key is None:
        return fail("dkim", f"{name} {fault}", "ask whoever signs your mails for the record to publish")
    record = f"{name} TXT {record_text(_kind(key), key.public)}"
    return Finding("dkim", Status.FAIL, f"{name} {fault}", "publish this one, as the only TXT record there:", record)


def _kind(key: DkimKey) -> str:
    return key.algorithm.partition("-")[0]
