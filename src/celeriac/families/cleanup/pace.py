"""How many rows a chunk has: as many as take the time that one may take. Pure.

The number grows while chunks are quick, and is halved when one is slow: additive increase, multiplicative decrease, as
in TCP. Until the first slow one it doubles.
"""

from __future__ import annotations

#: Rows of the first chunk. They may be large, and nobody knows yet.
_FIRST = 200
#: The part of the time up to which a chunk is quick.
_QUICK = 0.7


class Pace:
    """The size of the next chunk."""

    def __init__(self, *, most: int, target_ms: float) -> None:
        self._most = most
        self._target_ms = target_ms
        self._is_starting = True
        self.size = min(_FIRST, most)

    def took(self, milliseconds: float, rows: int) -> None:
        """Take note of a chunk's time. A small one says little about larger ones, unless it was slow."""
        if milliseconds > self._target_ms:
            self.slow_down()
        elif milliseconds < self._target_ms * _QUICK and rows >= self.size:
            grown = 2 * self.size if self._is_starting else self.size + max(1, self._most // 50)
            self.size = min(self._most, grown)

    def slow_down(self) -> None:
        """Halve the next chunk."""
        self._is_starting = False
        self.size = max(1, self.size // 2)
