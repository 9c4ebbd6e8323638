"""The leases of workers. A worker keeps the messages that it holds until its lease runs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from celeriac.store import keys
from celeriac.store.redis.connection import Client
from celeriac.store.scripts.script import Script, ScriptCall


class _Extend(NamedTuple):
    lease_ms: int


class _Renew(NamedTuple):
    worker: str
    lease_ms: int


class _Reclaim(NamedTuple):
    holds: str
    void_life_ms: int
    leaving: str
    lease_ms: int


_EXTEND = Script("extend", _Extend, when_full=True)
_RENEW = Script("renew", _Renew, when_full=True)
_RECLAIM = Script("reclaim", _Reclaim, when_full=True)

#: How long reports are refused under a receipt whose message was brought back.
VOID_LIFE_MS = 7 * 86_400_000


async def workers(client: Client) -> list[str]:
    """Return all workers that have a lease."""
    names: list[bytes] = await cast(Any, client).zrange(keys.LEASES, 0, -1)
    return [name.decode() for name in names]


async def held_by(client: Client, worker: str) -> set[str]:
    """Return the receipts of all messages that a worker holds."""
    return {receipt.decode() for receipt in await cast(Any, client).hkeys(keys.held(worker))}


def extend(names: Sequence[str], lease_ms: int) -> ScriptCall[bool]:
    """Renew the leases of those of these workers that have one."""
    return ScriptCall(_EXTEND, [keys.LEASES], [*_Extend(lease_ms), *names], bool)


def renew(worker: str, lease_ms: int) -> ScriptCall[bool]:
    """Renew a worker's lease. Reply False if it had run out."""
    return ScriptCall(_RENEW, [keys.LEASES], _Renew(worker, lease_ms), bool)


def reclaim(ended: Sequence[str] = (), *, leaving: str = "", lease_ms: int = 0) -> ScriptCall[dict[str, int]]:
    """Bring back the messages of workers whose lease has run out, or that are known to have `ended`.

    `leaving` is a worker that ends in good order: its messages do not count as lost with their worker. `lease_ms` is
    the lease of a worker that calls this again and again. If no worker called this for half that time, the server was
    away. Then leases that have run out meanwhile last for as long again.

    Reply the number of messages brought back, by worker.
    """

    def parse(reply: list[Any]) -> dict[str, int]:
        pairs = iter(reply)
        return {worker.decode(): count for worker, count in zip(pairs, pairs, strict=True)}

    gone = [leaving, *ended] if leaving else ended
    args = [*_Reclaim(holds=keys.held(""), void_life_ms=VOID_LIFE_MS, leaving=leaving, lease_ms=lease_ms), *gone]
    return ScriptCall(_RECLAIM, [keys.LEASES, keys.VOID, keys.LOOKED], args, parse)
