"""A question to several databases: the first answer counts, and the silence of those that cannot have it does not."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.anywhere import find_anywhere


async def having(what: str | None) -> str | None:
    return what


async def never() -> str | None:
    await asyncio.Event().wait()
    return None


async def away() -> str | None:
    raise DatabaseUnavailable("away", "no answer")


async def among(*names: str) -> list[str]:
    return list(names)


async def test_what_one_database_has_is_found_although_others_are_away_or_mute() -> None:
    lookups = {"a": away(), "b": never(), "c": having("the run")}
    assert await find_anywhere(lookups, among("a", "b", "c")) == "the run"


async def test_databases_that_cannot_have_it_are_not_waited_for() -> None:
    assert await find_anywhere({"a": away(), "b": never(), "c": having(None)}, among("c")) is None
    assert await find_anywhere({"a": away(), "b": never()}, among()) is None


async def test_the_silence_of_one_that_may_have_it_is_an_error() -> None:
    with pytest.raises(DatabaseUnavailable, match="no answer"):
        await find_anywhere({"a": away(), "c": having(None)}, among("a", "c"))


async def test_nothing_is_found_once_all_have_said_so_whatever_becomes_of_the_rest() -> None:
    async def unknown() -> list[str]:
        await asyncio.Event().wait()
        return []

    assert await find_anywhere({"a": having(None), "c": having(None)}, unknown()) is None
