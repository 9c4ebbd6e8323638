"""Runs script calls, for asyncio and for blocking clients alike."""

from __future__ import annotations

from typing import Any, TypeVar

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError

from celeriac.store.scripts.script import ScriptCall

T = TypeVar("T")


async def run(client: AsyncRedis, call: ScriptCall[T]) -> T:
    """Run `call`, sending the script's source only to a server that has not seen it."""
    parameters: list[Any] = [*call.keys, *call.args]
    try:
        reply = await client.evalsha(call.script.sha, len(call.keys), *parameters)
    except NoScriptError:
        reply = await client.eval(call.script.source, len(call.keys), *parameters)
    return call.parse(reply)


def run_blocking(client: Redis, call: ScriptCall[T]) -> T:
    """The same for code that has no event loop: Celery's result backend and publisher."""
    parameters: list[Any] = [*call.keys, *call.args]
    try:
        reply: Any = client.evalsha(call.script.sha, len(call.keys), *parameters)
    except NoScriptError:
        reply = client.eval(call.script.source, len(call.keys), *parameters)
    return call.parse(reply)
