"""What a worker and its processes for isolated jobs tell each other: JSON objects, each after its length in bytes.

worker    {path, app, log_level}                          first of all: what to import
          {task, module, arguments, job}                  run this job, with arguments as JSON; then it only listens
process   {kind: ready}                                   the application is there
          {kind: progress, job_id, done, total, message}  any number of times
          {kind: result, value}                           the end of a job is one of these four
          {kind: children, calls: [[task, arguments]]}
          {kind: error, type, module, args, message, traceback, retry_in}
          {kind: unfit, message}                          the application or the job is not to be found
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, BinaryIO, cast

from celeriac.core import codec

_LENGTH = struct.Struct(">I")

Message = dict[str, Any]


def frame(message: Message) -> bytes:
    """The bytes that stand for `message`."""
    encoded = codec.dumps(message)
    return _LENGTH.pack(len(encoded)) + encoded


async def receive(stream: asyncio.StreamReader) -> Message:
    """The next message. Raises `IncompleteReadError` if there is none, because the other side has ended."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return cast(Message, codec.loads(await stream.readexactly(length)))


def read(stream: BinaryIO) -> Message | None:
    """The same for code that blocks; None if the other side has ended."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    body = stream.read(_LENGTH.unpack(header)[0])
    return cast(Message, codec.loads(body)) if body else None
