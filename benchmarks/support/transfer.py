"""An HTTP client for large files that costs little: the kernel sends them, and what comes is only counted."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support.fleet import RunFailed

_BUFFER = 1_048_576
#: Of a longer answer, the rest is not kept.
_KEPT = 65_536
#: How long the server may say nothing (s).
_PATIENCE = 300.0
_BOUNDARY = "----benchmark"
#: What stands before and after the file in a form.
FORM_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"
_FORM_HEAD = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
_FORM_END = f"\r\n--{_BOUNDARY}--\r\n".encode()


@dataclass(frozen=True)
class Answer:
    """What the server has answered, and how long its body was."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    length: int

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Sends each request on a connection of its own."""

    port: int

    def call(self, method: str, path: str, headers: Mapping[str, str] | None = None, content: bytes = b"") -> Answer:
        """Send a small request. Of a large answer, only the first bytes are kept."""
        with self._connected() as connection:
            connection.sendall(self._head(method, path, headers or {}, len(content)) + content)
            return _answer(connection)

    def send(
        self,
        method: str,
        path: str,
        file: Path,
        headers: Mapping[str, str] | None = None,
        *,
        start: int = 0,
        length: int | None = None,
    ) -> Answer:
        """Send a file, or a part of it."""
        length = file.stat().st_size - start if length is None else length
        with self._connected() as connection, file.open("rb") as content:
            connection.sendall(self._head(method, path, headers or {}, length))
            connection.sendfile(content, start, length)
            return _answer(connection)

    def send_form(self, path: str, file: Path) -> Answer:
        """Send a form with one file."""
        length = len(_FORM_HEAD) + file.stat().st_size + len(_FORM_END)
        with self._connected() as connection, file.open("rb") as content:
            connection.sendall(self._head("POST", path, {"Content-Type": FORM_TYPE}, length) + _FORM_HEAD)
            connection.sendfile(content)
            connection.sendall(_FORM_END)
            return _answer(connection)

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), _PATIENCE)

    def _head(self, method: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
        every = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": str(length), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items())]
        return "\r\n".join([*lines, "", ""]).encode()


def _answer(connection: socket.socket) -> Answer:
    """Read the answer to the end of the connection.

    Raises:
        RunFailed: it is an error, or not complete.
    """
    said = b""
    while b"\r\n\r\n" not in said:
        if not (piece := connection.recv(_BUFFER)):
            raise RunFailed(f"the server has ended the connection: {said[:200]!r}")
        said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length, buffer = len(body), bytearray(_BUFFER)
    while count := connection.recv_into(buffer):
        length += count
        if length <= _KEPT:
            body += buffer[:count]
    answer = Answer(int(first.split()[1]), headers, body, length)
    if answer.status >= 400 or length != int(headers.get("content-length", "0")):
        raise RunFailed(f"the server has answered {first} with {length} bytes: {said[:500]!r}")
    return answer
