"""Makes kombu's messages of what a worker has taken, decodes them, and checks the messages of tasks."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Collection
from typing import Any, cast

from celery.app.task import Context
from kombu import compression
from kombu.serialization import TRUSTED_CONTENT
from kombu.transport import virtual
from kombu.utils import json as kombu_json

from celeriac.core import codec
from celeriac.core.checks import FAMILIAR, check_arguments, check_canvas, check_name, check_task, fill_in
from celeriac.core.errors import InvalidMessage
from celeriac.core.inbound import Arrival, receive
from celeriac.core.usual import JSON, has_usual_arguments

#: How kombu marks a value of a type that JSON does not have, such as a date.
_TYPED = b"__type__"
#: The most bytes of a decompressed body, since a few kilobytes can unpack to any size.
MOST_UNPACKED = 64 * 1024 * 1024
#: Decompressors that can stop at a size, which kombu's cannot. From the same libraries.
_UNPACKERS: dict[str, Any] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
}
_CANVAS = frozenset({"callbacks", "errbacks", "chain", "chord"})
#: Headers that would replace attributes and methods of a task's request.
_TAKEN = _CANVAS | {name for name in dir(Context) if name.startswith("_") or callable(getattr(Context, name))}


class Message(virtual.Message):
    """Kombu's message, made with less work. Its `errors` list what is wrong with it."""

    def __init__(self, arrived: Any, channel: Any = None, **_: Any) -> None:
        arrival = arrived if isinstance(arrived, Arrival) else receive(arrived)  # kombu has read a broadcast already
        self.channel = channel
        self.headers, self.properties = arrival.headers, arrival.properties
        self.delivery_tag: str = arrival.properties["delivery_tag"]
        self.delivery_info = arrival.properties["delivery_info"]
        self.content_type, self.content_encoding = arrival.content_type, arrival.content_encoding
        self.body, self.is_usual = arrival.body, arrival.is_usual
        self.errors, self.accept, self._decoded_cache, self._state = [], None, None, "RECEIVED"
        #: Whether kombu's type marks are decoded. To a typed job they are data.
        self.has_markup = True
        #: Whether the task's rate limit has admitted it, so that Celery need not check the limit again.
        self.is_admitted = False
        fault = arrival.fault
        if fault is None and not arrival.is_usual and arrival.headers.get("compression"):
            try:
                self.body = _unpacked(arrival.body, arrival.headers["compression"])
            except InvalidMessage as error:
                fault = error
        if fault is not None:
            self.errors.append((InvalidMessage, fault, None))

    def accepts(self, content_types: Collection[str] | None) -> None:
        """Accept only these content types. None means those that kombu trusts."""
        self.accept: Any = content_types

    @property
    def payload(self) -> Any:
        """The decoded body, which is decoded once."""
        if self._decoded_cache is None:
            self._decoded_cache = self._decode()
        return self._decoded_cache

    def _decode(self) -> Any:
        if self.errors:
            raise self.errors[0][1]
        if self.content_type != JSON or not (self.accept is None or JSON in self.accept or JSON in TRUSTED_CONTENT):
            return super()._decode()
        return decode(self.body, has_markup=self.has_markup)

    def serializable(self) -> dict[str, Any]:
        """What kombu writes to disk in an emergency: no body, because the broker holds the message."""
        return {"properties": self.properties, "headers": self.headers}


def decode(body: bytes, *, has_markup: bool) -> Any:
    """Parse a JSON body, with kombu's type marks if `has_markup`.

    Raises:
        InvalidMessage: the body cannot be parsed.
    """
    try:
        return kombu_json.loads(body) if has_markup and _TYPED in body else codec.loads(body)
    except Exception as error:  # whatever the decoders of marked types raise
        raise InvalidMessage(f"the body cannot be decoded: {_told(error)}") from error


def check(message: Any) -> None:
    """Decode and check the message of a task, in either of Celery's protocols.

    Raises:
        InvalidMessage: the message cannot be decoded, or does not have the form of a task's.
        kombu.exceptions.ContentDisallowed: the application does not accept its content type.
        Exception: whatever the user's serializer raises.
    """
    headers, body = message.headers, message.payload
    if message.is_usual and has_usual_arguments(body):
        return
    check_headers(headers)
    fill_in(headers)
    facts = headers
    if isinstance(body, dict) and ("task" not in headers or "args" in body):
        told = cast("dict[str, Any]", body)  # protocol 1, where the body has everything, or a mixture of both
        fill_in(told)
        check_name(told, "body", "taskset")
        check_canvas(told)
        facts, body = {**told, **headers}, [told.get("args", ()), told.get("kwargs", {}), None]
    check_task(facts, message.properties)
    check_arguments(body)


def check_headers(headers: dict[str, Any]) -> None:
    """Check that no header replaces an attribute that Celery gives a task's request.

    Raises:
        InvalidMessage: a header has such a name.
    """
    if headers.keys() <= FAMILIAR:
        return
    for name, value in headers.items():
        if value is not None and (name in _TAKEN or name.startswith("celeriac_")):
            raise InvalidMessage(f"headers.{ascii(name)[1:-1][:80]}: no header may have this name")


def _unpacked(body: bytes, method: Any) -> bytes:
    """Decompress a body.

    Raises:
        InvalidMessage: it cannot be decompressed, or would be too large.
    """
    try:
        aliases = cast("dict[str, str]", vars(compression)["_aliases"])
        unpacker = _UNPACKERS.get(str(aliases.get(method, method)))
        if unpacker is None:
            return compression.decompress(body, method)
        unpacked = unpacker().decompress(body, MOST_UNPACKED + 1)
    except Exception as error:
        raise InvalidMessage(f"the body cannot be decompressed: {_told(error)}") from error
    if len(unpacked) > MOST_UNPACKED:
        raise InvalidMessage(f"the body is larger than {MOST_UNPACKED // 2**20} MiB when it is decompressed")
    return unpacked


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {ascii(str(error)[:200])[1:-1]}"
