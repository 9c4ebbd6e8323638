"""Tasks that have been revoked, for workers that were not there to hear of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from celeriac.store import keys
from celeriac.store.scripts.script import Script, ScriptCall


class _Revoke(NamedTuple):
    life: int
    most: int


_REVOKE = Script("revoke", _Revoke, when_full=True)

#: For how long a revocation is remembered: as long as the record of a job that does not end.
LIFE_MS = 30 * 86_400_000


def remember(task_ids: Collection[str], *, most: int) -> ScriptCall[bool]:
    """Remember that these tasks have been revoked; of all that are remembered, the newest `most` are kept."""
    return ScriptCall(_REVOKE, [keys.REVOKED], [*_Revoke(LIFE_MS, most), *task_ids], bool)
