"""What is kept of an exception's arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.core.records import MESSAGE_LIMIT
from celeriac.engine.error_arguments import kept_arguments


@pytest.mark.parametrize(
    "argument", [None, True, 1.5, 2**70, "text", ["a", 1], {"a": {"b": None}}, "x" * MESSAGE_LIMIT]
)
def test_what_is_short_is_kept_as_it_is(argument: Any) -> None:
    assert kept_arguments((argument,), json.dumps) == (argument,)


@pytest.mark.parametrize(
    "argument",
    ["x" * 10_000_000, list(range(1_000_000)), {"rows": ["x" * 1000] * 1000}, {1, *range(100_000)}, 10**4_200],
    ids=["text", "list", "nested", "not JSON", "number"],
)
def test_what_is_long_is_cut_and_says_so(argument: Any) -> None:
    kept, last = kept_arguments((argument, "last"), json.dumps)
    assert len(kept) <= MESSAGE_LIMIT
    assert "characters cut" in kept
    assert last == "last"


def test_what_cannot_be_encoded_is_kept_as_text() -> None:
    assert kept_arguments(({1}, "a"), json.dumps) == ("{1}", "a")


def test_many_arguments_are_counted() -> None:
    kept = kept_arguments(tuple(range(1_000)), json.dumps)
    assert kept == (*range(20), "… 980 arguments cut …")
