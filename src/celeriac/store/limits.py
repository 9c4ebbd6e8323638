"""Limits that all processes of a broker share. The server decides, by its own clock, in one script per call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from celeriac.core.limits import Limit, Refused
from celeriac.store import keys
from celeriac.store.scripts.script import Script, ScriptCall


class _Admit(NamedTuple):
    id: str
    hold_ms: int
    units: int


class _Bounds(NamedTuple):
    rate: float
    burst: int
    concurrency: int
    daily: int


class _Release(NamedTuple):
    id: str
    unused: int


class _Renew(NamedTuple):
    id: str
    hold_ms: int


class _Close(NamedTuple):
    closed_ms: int


class _Closed(NamedTuple):
    reopens: int


_ADMIT = Script("admit", _Admit, {"limits": _Bounds}, when_full=True)
_RELEASE = Script("release_grant", _Release, when_full=True)
_RENEW = Script("renew_grant", _Renew, when_full=True)
_CLOSE = Script("close_limit", _Close, when_full=True)
_CLOSED = Script("closed_limit", _Closed, when_full=True)


def take(grant_id: str, limits: Sequence[Limit], *, units: int, hold_ms: int) -> ScriptCall[int | Refused]:
    """Take up to `units` under all limits, or nothing. A second call with the same id takes nothing more."""

    def parse(reply: list[int]) -> int | Refused:
        return reply[0] or Refused(limits[reply[1]].name, reply[2] / 1000)

    bounds = [value for limit in limits for value in _bounds(limit)]
    args = [*_Admit(grant_id, hold_ms, units), *bounds]
    return ScriptCall(_ADMIT, [keys.grant(grant_id), *_keys(limits)], args, parse)


def release(grant_id: str, limits: Sequence[Limit], *, unused: int) -> ScriptCall[bool]:
    """Give back what was taken: all slots, and the unused units. Reply False if it had run out."""
    return ScriptCall(_RELEASE, [keys.grant(grant_id), *_keys(limits)], _Release(grant_id, unused), bool)


def renew(grant_id: str, limits: Sequence[Limit], *, hold_ms: int) -> ScriptCall[bool]:
    """Hold what was taken for another `hold_ms`. Reply False if it had run out."""
    slots = [keys.slots(limit.name) for limit in limits if limit.concurrency]
    return ScriptCall(_RENEW, [keys.grant(grant_id), *slots], _Renew(grant_id, hold_ms), bool)


def close(limits: Sequence[Limit], *, closed_ms: int) -> ScriptCall[bool]:
    """Have the limits grant nothing for `closed_ms`."""
    return ScriptCall(_CLOSE, [keys.bucket(limit.name) for limit in limits], _Close(closed_ms), bool)


def closed(limits: Sequence[Limit], *, reopens: bool) -> ScriptCall[dict[str, float]]:
    """Reply how many seconds are left of the limits that are closed, by their names. Open them again if asked to."""

    def parse(reply: list[int]) -> dict[str, float]:
        return {limit.name: left_ms / 1000 for limit, left_ms in zip(limits, reply, strict=True) if left_ms}

    return ScriptCall(_CLOSED, [keys.bucket(limit.name) for limit in limits], _Closed(int(reopens)), parse)


def _bounds(limit: Limit) -> _Bounds:
    return _Bounds(limit.rate or 0, limit.most_at_once, limit.concurrency or 0, limit.daily or 0)


def _keys(limits: Sequence[Limit]) -> Iterator[str]:
    for limit in limits:
        yield keys.bucket(limit.name)
        yield keys.slots(limit.name)
