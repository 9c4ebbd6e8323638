"""Text that is no Unicode, and where it is."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.client.options import EnqueueOptions
from celeriac.core.text import is_unicode, not_unicode_at


@pytest.mark.parametrize("text", ["", "a", "é", "\U0001f600", "\x00", "\ufffe"])
def test_characters_are_unicode(text: str) -> None:
    assert is_unicode(text)
    assert not_unicode_at([text, {text: [text]}]) is None


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800", "\ud83d", "\udcff.txt"])
def test_halves_of_pairs_are_not(text: str) -> None:
    assert not is_unicode(text)
    assert not_unicode_at(text) == ()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": 1, "b": "\ud800"}, ("b",)),
        ({"a": {"\ud800": 1}}, ("a",)),
        ({"\ud800": 1}, ()),
        ([1, [None, {"x": [True, "\ud800"]}]], (1, 1, "x", 1)),
        ([1.5, "a", {"b": None}], None),
    ],
)
def test_its_place_is_told(value: Any, path: tuple[str | int, ...] | None) -> None:
    assert not_unicode_at(value) == path


def test_a_deep_value_is_searched_without_recursion() -> None:
    value: Any = "\ud800"
    for _ in range(20_000):
        value = [value]
    assert not_unicode_at(value) == (0,) * 20_000


@pytest.mark.parametrize("name", ["queue", "idempotency_key"])
def test_options_are_unicode(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        EnqueueOptions(**{name: "\ud800"})
