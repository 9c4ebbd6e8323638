"""A dedicated connection for script calls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, NoScriptError, RedisError, ResponseError

from celeriac.store.redis.connection import Client, connection_of
from celeriac.store.redis.replies import Replies
from celeriac.store.scripts.script import Command, Script, ScriptCall

T = TypeVar("T")


class Wire:
    """A connection for one caller at a time, which sends script calls without redis-py's overhead.

    redis-py takes a connection from a pool, prepares retries and counts its work. That costs several times as much as
    the exchange itself. If the connection was lost since its last use, the wire replaces it once without an error. That
    is safe because every script of ours may be sent twice. Closing the client closes the wire.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connection: Any = None
        self._replies: Replies | None = None

    async def run(self, call: ScriptCall[T]) -> T:
        """Run `call`, and return its parsed reply.

        Raises:
            redis.exceptions.ResponseError: the script failed.
            redis.exceptions.DataError: the call cannot be sent.
        """
        (reply,) = await self.exchange([call])
        if isinstance(reply, RedisError):
            raise reply
        return call.parse(reply)

    async def exchange(self, calls: Sequence[ScriptCall[Any]]) -> list[Any]:
        """Send `calls` together, and return the server's raw reply or error for each.

        Send a script's source only to a server that has not seen it. A call that cannot be sent does not stop the
        others: its reply is the `DataError`.
        """
        try:
            replies = await self._evaluate(calls)
        except DataError:
            replies = await self._evaluate_what_can_be_sent(calls)
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            await self._load({calls[n].script for n in unknown})
            for n, reply in zip(unknown, await self._evaluate([calls[n] for n in unknown]), strict=True):
                replies[n] = reply
        return replies

    async def run_after(self, wait: Command, call: ScriptCall[T]) -> T | None:
        """Send `wait` and `call` together, once. The server runs `call` after `wait`. Return the parsed reply.

        Return None if the server has not seen the script. Call `connect` before.

        Raises:
            redis.exceptions.RedisError: the connection was lost, or one of the two failed.
        """
        waited, reply = await self.send([wait, call.command])
        if isinstance(waited, RedisError):
            raise waited
        if isinstance(reply, NoScriptError):
            return None
        if isinstance(reply, RedisError):
            raise reply
        return call.parse(reply)

    async def connect(self) -> None:
        """Connect, unless the wire is connected.

        Raises:
            redis.exceptions.RedisError: connecting failed.
        """
        if self._replies is not None and self._replies.is_open:
            return
        if self._connection is None:
            self._connection = await connection_of(self._client)
        else:
            await self._connection.disconnect(nowait=True)
            await self._connection.connect()
        self._replies = Replies(self._connection.transport)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send `commands` together, once, and return the server's replies, including errors.

        Raises:
            redis.exceptions.RedisError: the connection was lost, or connecting failed.
        """
        await self.connect()
        assert self._replies is not None
        packed = [part for command in commands for part in self._connection.pack_command(*command)]
        return await self._replies.exchange(b"".join(packed), len(commands))

    async def _evaluate(self, calls: Sequence[ScriptCall[Any]]) -> list[Any]:
        return await self._send_again_if_lost([call.command for call in calls])

    async def _evaluate_what_can_be_sent(self, calls: Sequence[ScriptCall[Any]]) -> list[Any]:
        faults = {n: fault for n, call in enumerate(calls) if (fault := self._fault(call.command)) is not None}
        sound = [call for n, call in enumerate(calls) if n not in faults]
        replies = iter(await self._evaluate(sound) if sound else [])
        return [faults[n] if n in faults else next(replies) for n in range(len(calls))]

    def _fault(self, command: Command) -> DataError | None:
        """Return why a command cannot be sent. None: it can."""
        try:
            self._connection.pack_command(*command)
        except DataError as error:
            return error
        return None

    async def _load(self, scripts: set[Script]) -> None:
        for reply in await self._send_again_if_lost([script.loading for script in scripts]):
            if isinstance(reply, ResponseError):
                raise reply

    async def _send_again_if_lost(self, commands: Sequence[Command]) -> list[Any]:
        if self._replies is not None and self._replies.is_open:
            with suppress(RedisConnectionError):  # lost since its last use
                return await self.send(commands)
        return await self.send(commands)
