"""A hold: why a run may not go on now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing may be done now, and seconds after which to look again."""

    reason: str
    seconds: float
