"""Looks for something that any of several databases may have."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from celeriac.core.errors import DatabaseUnavailable

T = TypeVar("T")


async def find_anywhere(
    lookups: Collection[Coroutine[Any, Any, T | None]], is_nowhere: Coroutine[Any, Any, bool]
) -> T | None:
    """Ask all databases at once, and return what the first one finds; None if no database has it.

    Args:
        lookups: what to ask each database.
        is_nowhere: whether it is certain that none of them has it: then none is waited for.

    Raises:
        DatabaseUnavailable: nothing was found, and one of them does not answer.
    """
    asking = {asyncio.ensure_future(one) for one in lookups}
    certain = asyncio.ensure_future(is_nowhere)
    pending: set[asyncio.Future[Any]] = {certain, *asking}
    silent: DatabaseUnavailable | None = None
    try:
        # What is certain makes an error of a silent database none, so it is waited for as well then.
        while pending & asking or (silent is not None and certain in pending):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for one in done & asking:
                try:
                    if (found := one.result()) is not None:
                        return found
                except DatabaseUnavailable as error:
                    silent = error
            if certain in done and certain.result():
                return None
    finally:
        for one in (certain, *asking):
            one.cancel()
        await asyncio.gather(certain, *asking, return_exceptions=True)
    if silent is not None:
        raise silent
    return None
