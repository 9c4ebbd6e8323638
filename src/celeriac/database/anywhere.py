"""Looks for something that any of several databases may have."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, TypeVar

from celeriac.core.errors import DatabaseUnavailable

K = TypeVar("K")
T = TypeVar("T")


async def find_anywhere(
    lookups: Mapping[K, Coroutine[Any, Any, T | None]], homes: Coroutine[Any, Any, Collection[K]]
) -> T | None:
    """Ask all databases at once, and return what the first one finds; None if there is nothing to find.

    Args:
        lookups: what to ask each database.
        homes: which of them may have it. The silence of the others says nothing.

    Raises:
        DatabaseUnavailable: nothing was found, and one that may have it does not answer.
    """
    asking: dict[asyncio.Future[Any], K] = {asyncio.ensure_future(one): key for key, one in lookups.items()}
    home = asyncio.ensure_future(homes)
    pending: set[asyncio.Future[Any]] = {home, *asking}
    candidates: Collection[K] = lookups
    silent: dict[K, DatabaseUnavailable] = {}
    try:
        while any(key in candidates and one in pending for one, key in asking.items()) or (silent and home in pending):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if home in done:
                candidates = home.result()
            for one in done - {home}:
                try:
                    if (found := one.result()) is not None:
                        return found
                except DatabaseUnavailable as error:
                    silent[asking[one]] = error
    finally:
        for one in (home, *asking):
            one.cancel()
        await asyncio.gather(home, *asking, return_exceptions=True)
    for key, error in silent.items():
        if key in candidates:
            raise error
    return None
