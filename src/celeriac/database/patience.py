"""Bounds how long a caller waits for databases of the user's own: one may take minutes to refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from celeriac.core.errors import DatabaseUnavailable


@asynccontextmanager
async def answering(database: str, seconds: float) -> AsyncGenerator[None]:
    """Bound a block that asks a `database`, which the error names.

    Raises:
        DatabaseUnavailable: the time is over.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DatabaseUnavailable(database, f"it did not answer within {seconds:g} s") from None
