"""Runs script calls one by one, on asyncio and blocking clients, and commands together. `wire.py` sends calls together.

A call is sent by its script's digest. Only a server that has not seen the script gets the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from redis.exceptions import NoScriptError, RedisError

from celeriac.store.redis.connection import BlockingClient, Client, connection_of
from celeriac.store.scripts.script import Command, ScriptCall

T = TypeVar("T")


async def run(client: Client, call: ScriptCall[T]) -> T:
    """Run `call`."""
    commands = cast(Any, client)
    try:
        reply = await commands.execute_command(*call.command)
    except NoScriptError:
        reply = await commands.execute_command(*call.command_with_source)
    return call.parse(reply)


async def together(client: Client, commands: Sequence[Command]) -> list[Any]:
    """Send `commands` together, and return their replies.

    redis-py's pipelines give their connection back in a task of its own. A job that cancels all tasks of its event loop
    would hit it: the connection would be lost to its pool, and whoever waits for the replies would be cancelled.
    """
    if not commands:
        return []
    connection = await connection_of(client)
    try:
        parts = [part for command in commands for part in connection.pack_command(*command)]
        await connection.send_packed_command(parts)
        return [await connection.read_response() for _ in commands]
    except BaseException:  # replies may be left in it
        await connection.disconnect(nowait=True)
        raise
    finally:
        await cast(Any, client).connection_pool.release(connection)


async def atomically(client: Client, commands: Sequence[Command]) -> list[Any]:
    """Have the server run `commands` without another's between them, and return their replies."""
    *_, replies = await together(client, [("MULTI",), *commands, ("EXEC",)])
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
    return replies


def run_blocking(client: BlockingClient, call: ScriptCall[T]) -> T:
    """Run `call` as `run` does, for code without an event loop: Celery's result backend and publisher."""
    commands = cast(Any, client)
    try:
        reply = commands.execute_command(*call.command)
    except NoScriptError:
        reply = commands.execute_command(*call.command_with_source)
    return call.parse(reply)


def send(client: BlockingClient, command: Command) -> None:
    """Send a command on the client's own connection, as kombu's channels do. `receive` reads the reply."""
    cast(Any, client).connection.send_command(*command)


def receive(client: BlockingClient, call: ScriptCall[T] | None, **options: Any) -> T | None:
    """Read the reply to what `send` has sent: `call`, or without one a command whose reply is of no interest.

    Return None also if the server did not know the script. It knows the script now: make the call again.
    """
    commands = cast(Any, client)
    if call is None:
        commands.parse_response(commands.connection, "", **options)
        return None
    try:
        return call.parse(commands.parse_response(commands.connection, "", **options))
    except NoScriptError:
        send(client, call.script.loading)
        commands.parse_response(commands.connection, "", **options)
        return None
