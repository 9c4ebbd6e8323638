"""What `celeriac email check` says of SPF."""

from __future__ import annotations

from dataclasses import dataclass

from celeriac.core.findings import Finding, Status, fail, ok, warn
from celeriac.core.printable import shortened
from celeriac.families.email.authentication.resolver import Resolver, networks
from celeriac.families.email.authentication.server import Address
from celeriac.families.email.authentication.spf import (
    FEWER,
    MOST_LOOKUPS,
    MOST_VOIDS,
    Evaluation,
    Outcome,
    SpfError,
    published,
    record_of,
)
from celeriac.families.email.errors import LookupFailed

_SHOWN = 300
_UNKNOWN = "give the addresses that mails leave from with --ip, one for each"


@dataclass(frozen=True, slots=True)
class Senders:
    """The addresses that mails leave from.

    Attributes:
        known: whether the caller named them. Else they are those of the mail servers, and a relay may send from others.
        place: what they are the addresses of.
    """

    addresses: tuple[Address, ...]
    known: bool
    place: str = ""


@dataclass
class Permission:
    """What SPF says. `given`: it permits all addresses; None: which ones mails leave from is unknown."""

    findings: list[Finding]
    given: bool | None = False


async def check_spf(resolver: Resolver, sender: str, senders: Senders) -> Permission:
    """Look at the SPF record of the domain of the return path `sender`."""
    domain = sender.rpartition("@")[2].lower()
    try:
        return await _checked(resolver, domain, sender, senders)
    except SpfError as error:
        return Permission([fail("spf", str(error), error.advice)])
    except LookupFailed as error:
        return Permission([fail("spf", str(error), "try again, or ask another server with CELERIAC_MAIL_RESOLVER")])


async def _checked(resolver: Resolver, domain: str, sender: str, senders: Senders) -> Permission:
    if await record_of(resolver, domain) is None:
        return Permission([_missing(domain, senders)])
    (text,) = await published(resolver, domain)
    worst = Evaluation(resolver, sender)
    end = await worst.run(domain)
    record = shortened(text, _SHOWN)
    found = [*_limits(domain, worst), *_end(domain, end)]
    if any(finding.status is Status.FAIL for finding in found):
        return Permission(found)
    count = f"{len(worst.lookups)} of {MOST_LOOKUPS} look-ups"
    judged = await _permitted(resolver, domain, sender, senders)
    permits = all(finding.status is Status.OK for finding in judged)
    given = permits if permits or senders.known else None
    return Permission([ok("spf", f"{domain}: {record} ({count})"), *found, *judged], given)


def _missing(domain: str, senders: Senders) -> Finding:
    detail = f"{domain} has no SPF record"
    if not senders.known:
        return fail("spf", detail, "publish the one that your mail provider names; `~all` ends it")
    advice = "publish one, as TXT record:"
    return Finding("spf", Status.FAIL, detail, advice, f"{domain} TXT v=spf1 {networks(senders.addresses)} ~all")


def _limits(domain: str, worst: Evaluation) -> list[Finding]:
    found = list[Finding]()
    if len(worst.lookups) > MOST_LOOKUPS:
        listed = ", ".join(worst.lookups)
        detail = f"{domain}: its record takes {len(worst.lookups)} look-ups, and receivers make {MOST_LOOKUPS}"
        found.append(fail("spf", f"{detail}: {shortened(listed, _SHOWN)}", FEWER))
    if worst.voids:
        names = shortened(", ".join(dict.fromkeys(worst.voids)), _SHOWN)
        advice = "take these names out: whoever registers one could send in your name"
        too_many = len(worst.voids) > MOST_VOIDS
        detail = f"{domain}: its record names hosts without addresses: {names}"
        if too_many:
            detail += f" (receivers take no more than {MOST_VOIDS})"
        found.append((fail if too_many else warn)("spf", detail, advice))
    if worst.discouraged:
        detail = f"{domain}: {', '.join(dict.fromkeys(worst.discouraged))} is slow, and some receivers leave it out"
        found.append(warn("spf", detail, "use ip4: and ip6: in its place (RFC 7208, 5.5)"))
    return found


def _end(domain: str, end: Outcome) -> list[Finding]:
    match end:
        case Outcome.PASS:
            return [fail("spf", f"{domain}: its record permits everybody (+all)", "end it with ~all or -all")]
        case Outcome.NEUTRAL:
            advice = "end it with ~all or -all"
            return [warn("spf", f"{domain}: its record says nothing of other senders", advice)]
        case _:
            return []


async def _permitted(resolver: Resolver, domain: str, sender: str, senders: Senders) -> list[Finding]:
    if not senders.addresses:
        detail = f"which addresses your mails leave from is unknown ({senders.place})"
        return [warn("spf", f"{detail}, so whether {domain} permits them, too", _UNKNOWN)]
    return [await _judged(resolver, domain, sender, senders, address) for address in senders.addresses]


async def _judged(resolver: Resolver, domain: str, sender: str, senders: Senders, address: Address) -> Finding:
    outcome = await Evaluation(resolver, sender, address).run(domain)
    if outcome is Outcome.PASS:
        return ok("spf", f"{domain} permits {_described(senders, address)}")
    detail = f"{domain} does not permit {_described(senders, address)}: {outcome}"
    if senders.known:
        return fail("spf", detail, f"add ip{address.version}:{address} before the end of the record")
    relay = "if it is a relay, mails leave from addresses that only its operator knows"
    return warn("spf", detail, f"{relay}: {_UNKNOWN}, or see which include: it names")


def _described(senders: Senders, address: Address) -> str:
    return f"{address}" if senders.known else f"{address} ({senders.place})"
