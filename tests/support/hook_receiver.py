"""A receiver of webhooks that misbehaves as it is told to, and counts what it gets.

It speaks HTTP by hand, so that it can break off anywhere. In a process of its own, `python -m
tests.support.hook_receiver '{"plan": {"/path": [500, 200]}, "secrets": []}'` prints its port; `GET /counts` answers
what it has counted.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
import ssl
import struct
import sys
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

_DRIP_S = 0.05
_ENDLESS = b"x" * 65536


@dataclass(frozen=True, slots=True)
class Hook:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")

    def is_signed(self, secrets: Sequence[str]) -> bool:
        """Whether one of the HMAC signatures fits one of `secrets`; computed without our own code."""
        content = f"{self.id}.{self.headers.get('webhook-timestamp')}.".encode() + self.body
        given = self.headers.get("webhook-signature", "").split()
        keys = [b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        return any("v1," + b64encode(hmac.digest(key, content, "sha256")).decode() in given for key in keys)


@dataclass
class HookReceiver:
    """Serves each path by its plan.

    A plan is a list of behaviours, one for each try of a message; the last one stays. A behaviour is a status, or
    `(status, headers)`, or `(status, headers, body)`, or one of: `hang` (no answer), `close` and `reset` (the
    connection ends without an answer), `cut` (a part of the answer, then a reset), `slow` (a byte of the body, then
    nothing), `endless` (a body without an end), `endless-headers`, `drip` (a header now and then), `garbage` (no HTTP),
    `late` (200 once `released` is set).

    Attributes:
        hooks: all requests, in the order in which they came.
        by_message: how often each message id came to each path.
        connections: how many there were.
    """

    plan: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    secrets: list[str] = field(default_factory=list[str])
    hooks: list[Hook] = field(default_factory=list[Hook])
    by_message: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    taken: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    unsigned: int = 0
    connections: int = 0
    keeps: bool = True
    port: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    open_connections: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[Hook]:
        return [hook for hook in self.hooks if hook.path == path]

    def counts(self) -> dict[str, Any]:
        """Say how many messages each path took (2xx), how many it took again, and how many requests were unsigned."""
        taken: defaultdict[str, int] = defaultdict(int)
        for path, _ in self.taken:
            taken[path] += 1
        twice = sum(times - 1 for times in self.taken.values())
        return {"requests": len(self.hooks), "taken": taken, "duplicates": twice, "unsigned": self.unsigned}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self.open_connections.add(writer)
        try:
            while await self._answer_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self.open_connections.discard(writer)
            self.idle.set()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = request.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "GET" and path == "/counts":
            return await self._say(writer, 200, {}, json.dumps(self.counts()))
        hook = Hook(path, headers, body)
        self.hooks.append(hook)
        self.unsigned += bool(self.secrets) and not hook.is_signed(self.secrets)
        plan = self.plan.get(path, [200])
        behaviour = plan[min(self.by_message[path, hook.id], len(plan) - 1)]
        self.by_message[path, hook.id] += 1
        if isinstance(behaviour, str):
            return await self._misbehave(behaviour, hook, writer)
        said: list[Any] = list(behaviour) if isinstance(behaviour, tuple | list) else [behaviour]
        status, given, text = said + [{}, "ok"][len(said) - 1 :]
        self.taken[path, hook.id] += 200 <= status < 300
        return await self._say(writer, status, given, text)

    async def _say(self, writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], text: str) -> bool:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(text.encode())}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not self.keeps:
            lines.append("Connection: close")
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
        await writer.drain()
        return self.keeps

    async def _misbehave(self, behaviour: str, hook: Hook, writer: asyncio.StreamWriter) -> bool:
        match behaviour:
            case "hang":
                await self.released.wait()
            case "late":
                await self.released.wait()
                self.taken[hook.path, hook.id] += 1
                return await self._say(writer, 200, {}, "late")
            case "reset":
                _reset(writer)
            case "cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                await writer.drain()
                _reset(writer)
            case "slow":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nh")
                await writer.drain()
                await self.released.wait()
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"%x\r\n%b\r\n" % (len(_ENDLESS), _ENDLESS))
                    await writer.drain()
            case "endless-headers":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    writer.write(b"X-More: %b\r\n" % (b"x" * 4000))
                    await writer.drain()
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    writer.write(b"X: y\r\n")
                    await writer.drain()
                    await asyncio.sleep(_DRIP_S)
            case "garbage":
                writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
                await writer.drain()
            case _:
                assert behaviour == "close", behaviour
        return False

    async def stop(self) -> None:
        """Let go of who waits, and end all connections."""
        self.released.set()
        while self.open_connections:
            self.idle.clear()
            for writer in self.open_connections:
                writer.transport.abort()
            await self.idle.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST in place of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def hook_receiver(
    plan: Mapping[str, Sequence[Any]] | None = None,
    *,
    secrets: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
) -> AsyncGenerator[HookReceiver]:
    """Serve for the length of the block."""
    receiver = HookReceiver({path: list(each) for path, each in (plan or {}).items()}, list(secrets))
    server = await asyncio.start_server(receiver.serve, address, port, ssl=tls)
    try:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver
    finally:
        server.close()
        await receiver.stop()
        await server.wait_closed()


async def main() -> None:
    """Serve until stdin ends."""
    asked = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    async with hook_receiver(asked.get("plan"), secrets=asked.get("secrets", ())) as receiver:
        print(receiver.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
