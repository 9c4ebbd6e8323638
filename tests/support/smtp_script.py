"""A mail server that says what it is told to, at the connection and at each command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.support.waiting import eventually

DROP = "DROP"
#: A reply to EHLO.
PIPELINES = "250-script.test\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250 AUTH PLAIN LOGIN"

_USUAL = {
    "": "220 script.test ESMTP",
    "EHLO": "250-script.test\r\n250 AUTH PLAIN LOGIN",
    "HELO": "250 script.test",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 OK",
    "RCPT": "250 2.1.5 OK",
    "DATA": "354 go on",
    ".": "250 2.0.0 taken",
    "RSET": "250 2.0.0 OK",
    "QUIT": "221 2.0.0 bye",
}


class SmtpScript:
    """Counts its connections and the mails it has taken. `replies` may be changed while it runs."""

    def __init__(self, replies: Mapping[str, str]) -> None:
        """`replies` go by command; the empty one is the greeting, and `.` the end of a message.

        `RCPT a@example.com` is for one recipient, or `RCPT example.com` for one domain. In place of a reply, DROP
        breaks the connection.
        """
        self.replies = dict(replies)
        self.once: dict[str, str] = {}  # by command, before `replies`
        self.heard = list[str]()  # all commands
        self.recipients = list[str]()  # of the mails that were taken
        self.connections = self.taken = self.open = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://app:a-secret@127.0.0.1:{self.port}?starttls=false"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until it leaves."""
        self.connections += 1
        self.open += 1
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._say(writer, "")
        in_message, recipient = False, ""
        while received := await reader.readline():
            line = received.decode().rstrip("\r\n")
            if in_message and line != ".":
                continue
            command = line.upper().partition(" ")[0]
            self.heard.append(line)
            if command == "RCPT":
                recipient = line.partition("<")[2].partition(">")[0]
            reply = self._say(writer, command, recipient)
            if reply == DROP:
                writer.transport.abort()
                break
            in_message = command == "DATA" and reply.startswith("354")
            if command == "RCPT" and not reply.startswith("250"):
                recipient = ""  # DATA may be accepted all the same (RFC 2920, 3.1)
            if command == "." and recipient and reply.startswith("250"):
                self.taken += 1
                self.recipients.append(recipient)
            if command == "QUIT":
                break

    def _say(self, writer: asyncio.StreamWriter, command: str, recipient: str = "") -> str:
        own = (f"{command} {recipient}", f"{command} {recipient.rpartition('@')[2]}", command)
        reply = self.once.pop(command, None) or next((self.replies[key] for key in own if key in self.replies), None)
        reply = reply or _USUAL.get(command, "500 what?")
        if reply == DROP:
            return reply
        writer.write(f"{reply}\r\n".encode())
        return reply


@asynccontextmanager
async def smtp_script(**replies: str) -> AsyncGenerator[SmtpScript]:
    """Serve for the length of the block; `greeting` and `end` stand for the commands that have no name."""
    named = {"greeting": "", "end": "."}
    script = SmtpScript({named.get(command, command): reply for command, reply in replies.items()})
    async with await asyncio.start_server(script.serve, "127.0.0.1", 0) as server:
        script.port = server.sockets[0].getsockname()[1]
        yield script
        await eventually(lambda: not script.open, "its clients have left")
