"""A connection to Postgres, as somebody opens it who writes the loop by hand."""

from __future__ import annotations

from typing import Any, cast

import asyncpg


async def connect(url: str) -> Any:
    """Connect to the database of an SQLAlchemy URL."""
    return await cast(Any, asyncpg).connect(url.replace("+asyncpg", ""))
