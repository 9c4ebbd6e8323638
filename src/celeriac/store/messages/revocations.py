"""Remembers revoked tasks for workers that start later."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from celeriac.store import keys
from celeriac.store.scripts.script import Script, ScriptCall


class _Revoke(NamedTuple):
    life_ms: int
    most: int


_REVOKE = Script("revoke", _Revoke, when_full=True)

#: Life of a revocation: that of the record of a job that does not end.
LIFE_MS = 30 * 86_400_000


def remember(task_ids: Collection[str], *, most: int) -> ScriptCall[bool]:
    """Remember that these tasks are revoked. Keep only the newest `most` revocations."""
    return ScriptCall(_REVOKE, [keys.REVOKED], [*_Revoke(LIFE_MS, most), *task_ids], bool)
