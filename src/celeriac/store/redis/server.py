"""Asks a server for its state and settings."""

from __future__ import annotations

from typing import Any, cast

from celeriac.store.redis.connection import Client


async def ping(client: Client) -> None:
    """Ask the server whether it is there."""
    await cast(Any, client).ping()


async def facts(client: Client) -> dict[str, Any]:
    """Return the server's version, limits and state, from `INFO`."""
    return await cast(Any, client).info()


async def setting(client: Client, name: str) -> str | None:
    """Return the value of a setting, or None if there is none of that name.

    Raises:
        ResponseError: the server does not show settings. Managed servers do not.
    """
    return (await cast(Any, client).config_get(name)).get(name)
