"""Remembers for how long recipients' domains are to be left alone. In memory: each process learns it by one refusal,
unless the domain has a limit, which is closed for all (`quotas`)."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from celeriac.families.email.replies import Verdict

#: Refusals of single recipients in a row that say as much as one of the whole domain.
_IN_A_ROW = 3
_MOST = 10_000
_FIRST_S, _FACTOR, _LONGEST_S = 2.5, 2.5, 900.0


def wait_after(attempts: int) -> float:
    """Return for how many seconds a recipient or domain is left alone after so many refusals in a row.

    It is the least delay before the next run of a chunk (see `jobs`), so that this run finds the wait to be over.
    """
    return min(_LONGEST_S, _FIRST_S * _FACTOR ** min(attempts - 1, 20))


@dataclass(slots=True)
class _Domain:
    refusals: int = 0
    in_a_row: int = 0
    until: float = 0.0
    reason: str = ""


class Domains:
    """The domains that have asked for patience, with what they said."""

    def __init__(self) -> None:
        self._domains = OrderedDict[str, _Domain]()

    def waits(self, address: str) -> str | None:
        """Return the reply that says to wait, if the domain of this address is to be left alone now."""
        known = self._domains.get(domain_of(address)) if self._domains else None
        return known.reason if known is not None and known.until > time.monotonic() else None

    def accepted(self, address: str) -> None:
        """Note that the domain takes mail."""
        if self._domains:
            self._domains.pop(domain_of(address), None)

    def refused(self, address: str, kind: Verdict, reason: str) -> float | None:
        """Note a refusal for the time being. Return for how long the domain is left alone now; None: it is not."""
        name = domain_of(address)
        known = self._domains.setdefault(name, _Domain())
        self._domains.move_to_end(name)
        if len(self._domains) > _MOST:
            self._domains.popitem(last=False)
        known.in_a_row += 1
        if kind is not Verdict.DOMAIN_LATER and known.in_a_row < _IN_A_ROW:
            return None
        known.refusals += 1
        known.in_a_row = 0
        seconds = wait_after(known.refusals)
        known.until = time.monotonic() + seconds
        known.reason = reason
        return seconds


def domain_of(address: str) -> str:
    """Return the domain of an address, in small letters."""
    return address.rpartition("@")[2].lower()
