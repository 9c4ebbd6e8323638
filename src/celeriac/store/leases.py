"""The leases of all workers, for code on an event loop that looks after workers and is none itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from celeriac.store import keys
from celeriac.store.connection import Client
from celeriac.store.script import Script, ScriptCall

_EXTEND = Script("extend", when_full=True)


async def workers(client: Client) -> list[str]:
    """All workers that have a lease."""
    names: list[bytes] = await cast(Any, client).zrange(keys.LEASES, 0, -1)
    return [name.decode() for name in names]


def extend(names: Sequence[str], lease_ms: int) -> ScriptCall[bool]:
    """Renew the leases of these workers for them, as far as they have one."""
    return ScriptCall(_EXTEND, [keys.LEASES], [lease_ms, *names], bool)
