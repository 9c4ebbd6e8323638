"""Reads DMARC records, and finds those of a domain by walking up the DNS (RFC 9989, 4.7 and 4.10)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from celeriac.families.email.authentication.resolver import Resolver
from celeriac.families.email.authentication.tags import parse_tags

#: Names that a walk asks for at most: longer ones go on with their last seven labels.
_MOST_NAMES = 8


class Policy(StrEnum):
    """What receivers are to do with mails that fail."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A record, and the domain that has it.

    Attributes:
        policy, subdomain_policy: those for the domain, and for those below it.
        strict_dkim, strict_spf: only the very domain of the sender is aligned.
        reports: the addresses that get reports (`rua`).
        percent: the share of mails that the policy is for. Receivers of today ignore it.
        psd: `y`: anybody can register below it. `n`: it is the organization's. `u`: not said.
    """

    domain: str
    text: str
    policy: Policy
    subdomain_policy: Policy
    strict_dkim: bool
    strict_spf: bool
    reports: tuple[str, ...]
    percent: int
    psd: str

    def policy_for(self, domain: str) -> Policy:
        return self.policy if domain == self.domain else self.subdomain_policy


def is_dmarc(text: str) -> bool:
    """Return whether a TXT record is one of DMARC."""
    name, _, version = text.partition(";")[0].partition("=")
    return (name.strip(), version.strip()) == ("v", "DMARC1")


def parse_dmarc(domain: str, text: str) -> DmarcRecord:
    """Read a record.

    Raises:
        ValueError: says what is wrong.
    """
    tags = parse_tags(text)
    policy = _one_of(tags, "p", Policy.NONE if tags.get("rua") else None)
    percent = tags.get("pct", "100")
    if not (percent.isascii() and percent.isdigit() and len(percent) <= 3 and int(percent) <= 100):
        raise ValueError(f"pct={percent[:20]} is no percentage")
    return DmarcRecord(
        domain,
        text,
        policy,
        _one_of(tags, "sp", policy),
        strict_dkim=tags.get("adkim", "r").lower() == "s",
        strict_spf=tags.get("aspf", "r").lower() == "s",
        reports=tuple(part.strip() for part in tags.get("rua", "").split(",") if part.strip()),
        percent=int(percent),
        psd=tags.get("psd", "u").lower(),
    )


async def records_at(resolver: Resolver, domain: str) -> list[str]:
    """Return the texts of the DMARC records of a domain."""
    return [text for text in await resolver.txt(f"_dmarc.{domain}") if is_dmarc(text)]


async def walk(resolver: Resolver, domain: str) -> list[DmarcRecord]:
    """Return the records of a domain and of those above it, up to where its organization ends. Leave out wrong ones."""
    found = list[DmarcRecord]()
    for name in _names(domain):
        texts = await records_at(resolver, name)
        if len(texts) != 1:
            continue
        try:
            record = parse_dmarc(name, texts[0])
        except ValueError:
            continue
        found.append(record)
        if record.psd == "n" or (record.psd == "y" and name != domain):
            break
    return found


async def organization_of(resolver: Resolver, domain: str) -> str:
    """Return the domain of the organization that a domain belongs to."""
    found = await walk(resolver, domain)
    if not found:
        return domain
    highest = found[-1].domain
    if found[-1].psd == "y" and highest != domain:
        return ".".join(domain.split(".")[-(highest.count(".") + 2) :])
    return highest


def _names(domain: str) -> list[str]:
    labels = domain.split(".")
    above = labels[1:] if len(labels) <= _MOST_NAMES else labels[-(_MOST_NAMES - 1) :]
    return [domain, *(".".join(above[start:]) for start in range(len(above)))]


def _one_of(tags: dict[str, str], name: str, default: Policy | None) -> Policy:
    value = tags.get(name, default)
    if value is None:
        raise ValueError(f"{name}= is missing; it says what receivers do: none, quarantine or reject")
    try:
        return Policy(value.lower())
    except ValueError:
        raise ValueError(f"{name}={value[:20]} is no policy; there are none, quarantine and reject") from None
