"""Where messages are made: in a thread, unless that would take longer than the messages."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from celeriac.families.email import prepare
from celeriac.families.email.model import OpenRecipient
from celeriac.families.email.prepare import Preparer
from tests.support.mailings import new_mailing


def rows(count: int, name: str = "Ada") -> list[OpenRecipient]:
    return [OpenRecipient(n, f"user{n}@example.com", {"name": name}, 0, None, 0) for n in range(count)]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each message was made in a thread of its own."""
    seen = list[bool]()
    render = Preparer._render  # pyright: ignore[reportPrivateUsage]

    def noted(self: Preparer, *arguments: Any) -> bytes:
        seen.append(threading.current_thread() is not threading.main_thread())
        return render(self, *arguments)

    monkeypatch.setattr(Preparer, "_render", noted)
    return seen


async def test_short_messages_of_straight_templates_are_made_at_once_after_the_first(
    threads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_QUICK_S", 60.0)
    preparer = Preparer(new_mailing())
    first, second = await preparer.prepare(rows(3)), await preparer.prepare(rows(3))
    assert threads == [True] * 3 + [False] * 3
    assert [one.to for one in first] == [one.to for one in second]


async def test_messages_that_take_long_go_to_the_thread_again(
    threads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_QUICK_S", 60.0)
    preparer = Preparer(new_mailing())
    await preparer.prepare(rows(1))
    monkeypatch.setattr(prepare, "_QUICK_S", 0.0)
    await preparer.prepare(rows(1, "x" * 100_000))
    await preparer.prepare(rows(1))
    assert threads == [True, False, True]


async def test_other_templates_never_leave_the_thread(threads: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_QUICK_S", 60.0)
    preparer = Preparer(new_mailing(text="Dear {{ name|upper }}"))
    for _ in range(3):
        await preparer.prepare(rows(1))
    assert threads == [True] * 3
