"""Keeps all workers together within what mail servers and recipients' domains take: rates, connections, mails a day."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from celeriac.client.limits import Limits, Taken
from celeriac.core.errors import BrokerUnavailable, ConfigurationError
from celeriac.core.limits import Limit, Refused
from celeriac.families.email.domains import domain_of
from celeriac.families.email.model import OpenRecipient
from celeriac.families.email.smtp_url import SmtpServer

#: The name of a domain for all domains that have no entry of their own.
_OTHERS = "*"
_DOMAIN = "mail:domain:"
_EXPECTED = "expected entries such as gmail.com=20/s,5 separated by spaces: mails a second, and connections at a time"


@dataclass(frozen=True, slots=True)
class DomainLimit:
    """The bounds for one recipients' domain: mails a second, and senders at a time. None: no such bound."""

    rate: float | None
    concurrency: int | None


def parse_domain_limits(text: str) -> dict[str, DomainLimit]:
    """Read `gmail.com=20/s,5 *=50/s,10`: by domain, a rate, a number of connections, or both.

    Raises:
        ConfigurationError: the message names the entry.
    """
    found: dict[str, DomainLimit] = {}
    for entry in text.split():
        domain, equals, bounds = entry.lower().rpartition("=")
        if not equals or not domain or domain in found:
            raise ConfigurationError(f"{entry!r} cannot be read, or its domain is there twice; {_EXPECTED}")
        rate: float | None = None
        concurrency: int | None = None
        for bound in bounds.split(","):
            try:
                if bound.endswith("/s"):
                    rate = float(bound.removesuffix("/s"))
                else:
                    concurrency = int(bound)
            except ValueError:
                raise ConfigurationError(f"{entry!r}: {bound!r} is no bound; {_EXPECTED}") from None
        try:
            Limit(domain, rate=rate, concurrency=concurrency)
        except ConfigurationError as error:
            raise ConfigurationError(f"{entry!r}: {error}") from None
        found[domain] = DomainLimit(rate, concurrency)
    return found


@dataclass(slots=True)
class Admitted:
    """Recipients that may be sent to now, as long as the `async with` block lasts. What is not used goes back.

    Attributes:
        recipients: those of the ones that were asked for.
        refused: why there are none, and when to ask again; None if there are some.
    """

    recipients: list[OpenRecipient] = field(default_factory=list[OpenRecipient])
    refused: Refused | None = None
    _used: set[int] = field(default_factory=set[int])
    _held: list[tuple[Taken, Sequence[OpenRecipient]]] = field(default_factory=list[Any])
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def hold(self, taken: Taken, recipients: Sequence[OpenRecipient]) -> None:
        await self._stack.enter_async_context(taken)
        self._held.append((taken, recipients))
        self.recipients += recipients

    def use(self, recipient: OpenRecipient) -> None:
        """Note that the mail server is asked to take the mail of a recipient. Only such mails count."""
        self._used.add(recipient.position)

    async def __aenter__(self) -> Admitted:
        return self

    async def __aexit__(self, *error: object) -> None:
        for taken, recipients in self._held:
            taken.unused = sum(recipient.position not in self._used for recipient in recipients)
        await self._stack.aclose()


def is_of_domain(limit: str) -> bool:
    """Return whether a limit of that name is one of a recipients' domain."""
    return limit.startswith(_DOMAIN)


class Quota:
    """What may be sent through one mail server, by all workers together."""

    def __init__(self, limits: Limits, server: SmtpServer, domains: dict[str, DomainLimit]) -> None:
        self._limits = limits
        self._domains = domains
        name = f"mail:server:{server.host}:{server.port}"
        bounded = server.rate is not None or server.daily is not None
        self._mails = [Limit(name, rate=server.rate, daily=server.daily)] if bounded else []
        bounded = server.concurrency is not None
        self._connections = [Limit(f"{name}:connections", concurrency=server.concurrency)] if bounded else []

    async def connection(self) -> Taken | Refused:
        """Take the right to one connection. Hold it as long as the connection is open."""
        return await self._limits.take(self._connections) if self._connections else Taken(1)

    async def full_for(self) -> float:
        """Return the seconds until the server takes another mail; 0: it does so now. Nothing is taken."""
        taken = await self._limits.take(self._mails) if self._mails else Taken(1)
        if isinstance(taken, Refused):
            return taken.seconds
        await taken.release(unused=1)
        return 0.0

    async def admit(self, recipients: Sequence[OpenRecipient]) -> Admitted:
        """Take what sending to these recipients needs, domain by domain. A domain without room keeps no other back."""
        admitted = Admitted()
        for domain, group in _by_domain(recipients).items():
            limits = [*self._mails, *self._limits_of(domain)]
            taken = await self._limits.take(limits, units=len(group)) if limits else Taken(len(group))
            if isinstance(taken, Taken):
                await admitted.hold(taken, group[: taken.units])
            elif admitted.refused is None or taken.seconds < admitted.refused.seconds:
                admitted.refused = taken
        if admitted.recipients:
            admitted.refused = None
        return admitted

    async def leave_alone(self, domain: str, seconds: float) -> None:
        """Have all workers send nothing to a recipients' domain for a while, if it has a limit."""
        if limits := self._limits_of(domain):
            with suppress(BrokerUnavailable):  # this process leaves it alone all the same
                await self._limits.close(limits, seconds)

    def _limits_of(self, domain: str) -> list[Limit]:
        known = self._domains.get(domain) or self._domains.get(_OTHERS)
        if known is None:
            return []
        return [Limit(f"{_DOMAIN}{domain}"[:200], rate=known.rate, concurrency=known.concurrency)]


def _by_domain(recipients: Sequence[OpenRecipient]) -> dict[str, list[OpenRecipient]]:
    groups: dict[str, list[OpenRecipient]] = {}
    for recipient in recipients:
        groups.setdefault(domain_of(recipient.address), []).append(recipient)
    return groups
