"""Chooses among several mail servers, by their weights, and puts those aside that refuse us."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from celeriac.client.limits import Limits, Taken
from celeriac.core.errors import BrokerUnavailable, ConfigurationError
from celeriac.core.limits import Refused
from celeriac.families.email.quotas import DomainLimit, Quota
from celeriac.families.email.smtp_url import SmtpServer

#: For how long nothing is sent through a server that has refused us, or cannot be reached, while there are others.
_ASIDE_S = 60.0


class Servers:
    """The mail servers of one process. Each process learns by one refusal which of them to put aside."""

    def __init__(
        self,
        configured: Callable[[], Sequence[SmtpServer]],
        limits: Callable[[], Limits],
        domains: Mapping[str, DomainLimit],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`configured` may raise ConfigurationError."""
        self._configured = configured
        self._limits = limits
        self._domains = dict(domains)
        self._clock = clock
        self._aside: dict[SmtpServer, float] = {}

    def quota(self, server: SmtpServer) -> Quota | None:
        """Return what may be sent through a server; None: there is no limit."""
        if not self._domains and (server.rate, server.concurrency, server.daily) == (None, None, None):
            return None
        return Quota(self._limits(), server, self._domains)

    def set_aside(self, server: SmtpServer) -> bool:
        """Send nothing through this server for a while. Return whether there are others."""
        self._aside[server] = self._clock() + _ASIDE_S
        return any(self._is_there(other) for other in self._configured())

    async def choose(self) -> tuple[SmtpServer, Taken] | Refused:
        """Take the right to a connection to one of the servers, the heavier ones more often.

        If all are put aside, any is tried: a refusal has to come from a server.
        """
        configured = self._configured()
        order = by_weight([server for server in configured if self._is_there(server)] or configured)
        soonest: Refused | None = None
        for server in order:
            quota = self.quota(server)
            taken = Taken(1) if quota is None else await quota.connection()
            if isinstance(taken, Taken):
                return server, taken
            if soonest is None or taken.seconds < soonest.seconds:
                soonest = taken
        assert soonest is not None
        return soonest

    async def full_for(self) -> float:
        """Return the seconds until one of the servers takes another mail; 0: one does so now, or nobody knows."""
        soonest = float("inf")
        with suppress(BrokerUnavailable, ConfigurationError):  # the chunks say it, and try again
            for server in self._configured():
                quota = self.quota(server)
                soonest = min(soonest, 0.0 if quota is None else await quota.full_for())
            return soonest
        return 0.0

    def _is_there(self, server: SmtpServer) -> bool:
        return self._aside.get(server, 0.0) <= self._clock()


def by_weight(servers: Sequence[SmtpServer]) -> list[SmtpServer]:
    """Return the servers in a random order, in which a server of twice the weight is first twice as often."""
    return sorted(servers, key=lambda server: random.random() ** (1 / server.weight), reverse=True)  # noqa: S311
