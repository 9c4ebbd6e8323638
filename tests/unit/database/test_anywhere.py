"""A question to several databases: the first one that knows counts, and a silent one may know."""

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


async def saying(is_nowhere: bool) -> bool:
    return is_nowhere


async def mute() -> bool:
    await asyncio.Event().wait()
    return False


async def test_what_one_database_has_is_found_although_others_are_away_or_mute() -> None:
    assert await find_anywhere([away(), never(), having("the run")], saying(False)) == "the run"


async def test_databases_are_not_waited_for_where_it_is_certain_that_none_has_it() -> None:
    assert await find_anywhere([away(), never(), having(None)], saying(True)) is None


async def test_a_database_that_answers_late_is_waited_for() -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def late() -> str | None:
        asked.set()
        await told.wait()
        return "the run"

    looking = asyncio.ensure_future(find_anywhere([having(None), late()], saying(False)))
    await asked.wait()
    told.set()
    assert await looking == "the run"


async def test_the_silence_of_one_is_an_error() -> None:
    with pytest.raises(DatabaseUnavailable, match="no answer"):
        await find_anywhere([away(), having(None)], saying(False))


async def test_nothing_is_found_once_all_have_said_so_whatever_the_broker_says() -> None:
    assert await find_anywhere([having(None), having(None)], mute()) is None
