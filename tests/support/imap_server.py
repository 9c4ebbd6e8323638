"""A small IMAP server with one user, as much of RFC 3501 and RFC 6851 as reading a folder needs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

USER, PASSWORD = "postmaster", "a secret of the mailbox"


@dataclass
class Stored:
    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set[str])


class ImapServer:
    """`folders` may be changed while it runs. `breaks_at` names a command at which it drops the connection, once."""

    def __init__(self, capabilities: str) -> None:
        self.folders: dict[str, list[Stored]] = {"INBOX": [], "Done": []}
        self.capabilities = capabilities
        self.breaks_at: str | None = None
        self.port = 0
        self._next = 1
        self._is_in = False

    @property
    def url(self) -> str:
        return f"imap://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/INBOX"

    def deliver(self, raw: bytes) -> None:
        self.folders["INBOX"].append(Stored(self._next, raw))
        self._next += 1

    def unseen(self) -> int:
        return sum("\\Seen" not in message.flags for message in self.folders["INBOX"])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._is_in = False
        writer.write(b"* OK ready\r\n")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            tag, _, command = line.partition(" ")
            name = command.removeprefix("UID ").partition(" ")[0].upper()
            if name == self.breaks_at:
                self.breaks_at = None
                break
            for reply in self._answer(name, command):
                writer.write(reply.replace(b"TAG", tag.encode()) + b"\r\n")
            if name == "LOGOUT":
                break
        writer.close()

    def _answer(self, name: str, command: str) -> list[bytes]:
        done = f"TAG OK {name} done".encode()
        match name:
            case "CAPABILITY":
                # Many servers tell the rest only to those who have logged in.
                return [f"* CAPABILITY IMAP4rev1 {self.capabilities if self._is_in else ''}".encode(), done]
            case "LOGIN":
                self._is_in = command == f'LOGIN {USER} "{PASSWORD}"'
                return [done if self._is_in else b"TAG NO wrong: " + command.encode()]
            case "SELECT":
                folder = self._named(command)
                if folder is None:
                    return [b"TAG NO there is no such folder"]
                return [f"* {len(folder)} EXISTS".encode(), b"TAG OK [READ-WRITE] selected"]
            case "SEARCH":
                uids = " ".join(str(one.uid) for one in self.folders["INBOX"] if "\\Seen" not in one.flags)
                return [f"* SEARCH {uids}".encode(), done]
            case "EXPUNGE":
                only = (
                    {int(command.split()[2])}
                    if command.startswith("UID ")
                    else {one.uid for one in self.folders["INBOX"]}
                )
                kept = [one for one in self.folders["INBOX"] if "\\Deleted" not in one.flags or one.uid not in only]
                self.folders["INBOX"] = kept
                return [done]
            case "FETCH" | "STORE" | "COPY" | "MOVE":
                return [*self._about_one(name, command), done]
            case _:
                return [done]

    def _about_one(self, name: str, command: str) -> list[bytes]:
        uid = int(command.split()[2])
        found = [one for one in self.folders["INBOX"] if one.uid == uid]
        for one in found:
            if name == "FETCH":
                most = re.search(r"<0\.(\d+)>", command)
                raw = one.raw[: int(most[1])] if most else one.raw
                return [f"* 1 FETCH (UID {uid} BODY[]<0> {{{len(raw)}}}".encode(), raw + b")"]
            if name == "STORE":
                one.flags |= set(re.findall(r"\\\w+", command))
            else:
                self.folders["Done"].append(one)
            if name == "MOVE":
                self.folders["INBOX"].remove(one)
        return []

    def _named(self, command: str) -> list[Stored] | None:
        return self.folders.get(command.partition(" ")[2].strip('"'))


@asynccontextmanager
async def imap_server(capabilities: str = "MOVE UIDPLUS") -> AsyncGenerator[ImapServer]:
    server = ImapServer(capabilities)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
