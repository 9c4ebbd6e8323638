"""What a server tells of itself."""

from __future__ import annotations

from typing import Any, cast

from celeriac.store.redis.connection import Client


async def ping(client: Client) -> None:
    """Ask the server whether it is there."""
    await cast(Any, client).ping()


async def facts(client: Client) -> dict[str, Any]:
    """Its version, limits and state, as `INFO` has them."""
    return await cast(Any, client).info()


async def setting(client: Client, name: str) -> str | None:
    """The value of a setting; None if there is none of that name.

    Raises:
        ResponseError: the server does not tell, as managed ones do.
    """
    return (await cast(Any, client).config_get(name)).get(name)
