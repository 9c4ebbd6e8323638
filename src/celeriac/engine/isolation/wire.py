"""The protocol between a worker and its processes for isolated jobs: JSON objects, each after its length in bytes.

worker    {path, app, log_level}                          the first message: what to import
          {task, module, arguments, job}                  run this job; `arguments` is JSON in a string
process   {kind: ready}                                   the application is imported
          {kind: progress, job_id, done, total, message}  any number of times during a job
          {kind: result, value}                           each job ends with one of these four
          {kind: children, calls: [[task, arguments]]}
          {kind: error, type, module, args, message, traceback, retry_in, counts}
          {kind: unfit, message}                          the application or the job was not found
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, BinaryIO, cast

from celeriac.core import codec

_LENGTH = struct.Struct(">I")

Message = dict[str, Any]


def frame(message: Message) -> bytes:
    """Encode a message, with its length in front."""
    encoded = codec.dumps(message)
    return _LENGTH.pack(len(encoded)) + encoded


async def receive(stream: asyncio.StreamReader) -> Message:
    """Read the next message. Raises `IncompleteReadError` if the other side has ended."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return cast(Message, codec.loads(await stream.readexactly(length)))


def read(stream: BinaryIO) -> Message | None:
    """Read the next message, blocking. Returns None if the other side has ended."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    body = stream.read(_LENGTH.unpack(header)[0])
    return cast(Message, codec.loads(body)) if body else None
