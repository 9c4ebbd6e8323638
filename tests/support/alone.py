"""Has a test marked `alone` run while no other process of the run has a test under way: time means something then.

Two files of the checkout serve as locks, so nothing is left behind. Each test holds the room: together with others, or
by itself if it is marked. It enters through the door, so that tests that come later wait behind a marked one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_DOOR = Path(__file__)
_ROOM = Path(__file__).parents[1] / "conftest.py"


class Room:
    """The room, as one process of the test run sees it."""

    def __init__(self, door: Path = _DOOR, room: Path = _ROOM) -> None:
        self._door, self._room = door.open("rb"), room.open("rb")

    @contextmanager
    def entered(self, *, alone: bool = False) -> Generator[None]:
        """Be in the room for the length of a `with` block: with others who want company too, or alone."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        self._door.close()
        self._room.close()
