"""Shows the delayed messages on the broker to people and monitors, and deletes them for Celery's purge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from celeriac.store import keys
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.scripts.script import Script, ScriptCall


class _Look(NamedTuple):
    most: int
    longest: int


_SCHEDULED = Script("scheduled", _Look, when_full=True)

#: Longest message in bytes. The body of a longer one is left out.
_LONGEST = 16_384


def look(queues: Sequence[str], *, count: int) -> ScriptCall[list[tuple[int, bytes]]]:
    """Return the next `count` delayed messages of these queues, the soonest first, each with its due time (ms)."""

    def parse(reply: list[bytes]) -> list[tuple[int, bytes]]:
        found = [(int(float(due)), message) for due, message in zip(reply[::2], reply[1::2], strict=True)]
        return sorted(found, key=lambda entry: entry[0])[:count]

    return ScriptCall(_SCHEDULED, [keys.delayed(queue) for queue in queues], _Look(count, _LONGEST), parse)


def drop_delayed(client: BlockingClient, queue: str) -> int:
    """Delete the delayed messages of a queue, and return their number."""
    commands = cast(Any, client)
    count = commands.zcard(keys.delayed(queue))
    commands.delete(keys.delayed(queue))
    return count
