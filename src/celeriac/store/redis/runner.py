"""Runs single script calls, on asyncio and blocking clients. `store/redis/wire.py` sends many together.

A call is sent by its script's digest. Only a server that has not seen the script gets the source.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from redis.exceptions import NoScriptError

from celeriac.store.redis.connection import BlockingClient, Client
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
