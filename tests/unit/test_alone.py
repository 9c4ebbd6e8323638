"""A test that is marked `alone` has no other beside it."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.alone import Room
from tests.support.waiting import wait_until


class Rooms:
    """The same room, as several processes see it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._door, self._room, self._stack = folder / "door", folder / "room", stack
        self._door.touch()
        self._room.touch()

    def another(self) -> Room:
        room = Room(self._door, self._room)
        self._stack.callback(room.close)
        return room

    def is_waited_at_the_door(self) -> bool:
        """Whether somebody stands in it, and waits for the room."""
        with self._door.open("rb") as door:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    with ExitStack() as stack:
        yield Rooms(tmp_path, stack)


def test_tests_have_company_unless_they_are_marked(rooms: Rooms) -> None:
    with rooms.another().entered(), rooms.another().entered(), rooms.another().entered():
        pass


def test_a_marked_test_waits_for_those_before_it_and_those_after_it_wait_for_it(rooms: Rooms) -> None:
    order: list[str] = []

    def enter(name: str, room: Room, *, alone: bool) -> threading.Thread:
        def stay() -> None:
            with room.entered(alone=alone):
                order.append(name)

        thread = threading.Thread(target=stay, daemon=True)
        thread.start()
        return thread

    with rooms.another().entered():
        waiting = [enter("alone", rooms.another(), alone=True)]
        wait_until(rooms.is_waited_at_the_door, "the marked test is in the door")
        waiting += [enter("later", rooms.another(), alone=False)]
        order.append("before")
    for thread in waiting:
        thread.join(60)
    assert order == ["before", "alone", "later"]
