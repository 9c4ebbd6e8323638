"""Reads messages from queues in kombu's format. Anybody with access to the broker can put anything there."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any, cast

import orjson

from celeriac.core import codec
from celeriac.core.checks import check_name, is_number, name_of, shown, time_ms
from celeriac.core.errors import InvalidMessage
from celeriac.core.usual import is_usual


@dataclass(slots=True)
class Arrival:
    """A message that has arrived, in kombu's terms.

    Attributes:
        headers, properties: those of the message; of an unreadable one, only the legible parts.
        body: the decoded bytes.
        content_type, content_encoding: those of the body.
        due_ms: when the message is due (ms since the epoch); None: at once.
        fault: why the message cannot be read, or None.
        is_usual: whether all but the body has been checked.
    """

    headers: dict[str, Any]
    properties: dict[str, Any]
    body: bytes = b""
    content_type: str | None = None
    content_encoding: str | None = None
    due_ms: int | None = None
    fault: InvalidMessage | None = None
    is_usual: bool = False

    @property
    def task_id(self) -> str:
        """The id of the message's task; empty if it has none."""
        return self.headers["id"] if self.is_usual else name_of(self.headers, "id")


def read(raw: bytes, receipt: str) -> Arrival:
    """Read the message held under `receipt`. It may be anything. One that cannot be read gets a `fault`."""
    message = _parsed(raw)
    if is_usual(message):
        try:
            return _as_usual(message, receipt)
        except InvalidMessage:
            pass  # the body is faulty
    try:
        return receive(codec.loads(raw) if message is None or codec.has_long_number(raw) else message, receipt)
    except ValueError as error:
        return Arrival({}, _undelivered(receipt), fault=InvalidMessage(f"it is not JSON: {_first_line(error)}"))


def _parsed(raw: bytes) -> Any:
    """Parse the JSON of a message. Return None if only the slower reader can, which accepts numbers of any size."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _as_usual(message: dict[str, Any], receipt: str) -> Arrival:
    properties = message["properties"]
    body = _body(message["body"], properties.get("body_encoding"))
    properties["delivery_tag"] = receipt
    return Arrival(message["headers"], properties, body, message["content-type"], "utf-8", is_usual=True)


def receive(payload: Any, receipt: str | None = None) -> Arrival:
    """Read a message whose JSON is parsed already. Without `receipt` it keeps its own tag."""
    try:
        return _received(payload, receipt)
    except InvalidMessage as fault:
        known = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
        headers: Any = known.get("headers")
        return Arrival(_legible(headers), _undelivered(receipt or ""), fault=fault)


def _received(payload: Any, receipt: str | None) -> Arrival:
    if not isinstance(payload, dict):
        raise InvalidMessage(f"it must be an object; it is {shown(payload)}")
    message = cast("dict[str, Any]", payload)
    properties, headers = message.get("properties"), message.get("headers")
    if not isinstance(properties, dict):
        raise InvalidMessage(f"properties must be an object; it is {shown(properties)}")
    if headers is None:
        headers = {}
    elif not isinstance(headers, dict):
        raise InvalidMessage(f"headers must be an object; it is {shown(headers)}")
    properties, headers = cast("dict[str, Any]", properties), cast("dict[str, Any]", headers)
    _take_delivery(message, properties, receipt)
    content_type, content_encoding = message.get("content-type"), message.get("content-encoding")
    for name, value in (("content-type", content_type), ("content-encoding", content_encoding)):
        if value is not None and not isinstance(value, str):
            raise InvalidMessage(f"{name} must be text; it is {shown(value)}")
    body = _body(message.get("body"), properties.get("body_encoding"))
    due = time_ms(headers, "eta")
    headers.pop("eta", None)  # the message is due when a worker gets it; Celery would hold it in a timer again
    return Arrival(headers, properties, body, content_type, content_encoding, due)


def _take_delivery(message: dict[str, Any], properties: dict[str, Any], receipt: str | None) -> None:
    """Bring the delivery properties into the form on which kombu and Celeriac rely."""
    info = properties.get("delivery_info")
    if info is None:
        info = properties["delivery_info"] = {}
    elif not isinstance(info, dict):
        raise InvalidMessage(f"properties.delivery_info must be an object; it is {shown(info)}")
    info = cast("dict[str, Any]", info)
    check_name(info, "properties.delivery_info", "exchange")
    check_name(info, "properties.delivery_info", "routing_key")
    info.pop("celeriac_losses", None)  # no sender can know that
    losses = message.get("celeriac-redelivered")
    if losses is not None:
        if not is_number(losses, int) or losses < 0:
            raise InvalidMessage(f"celeriac-redelivered must be a number of lost workers; it is {shown(losses)}")
        info.update(redelivered=True, celeriac_losses=losses)
    info["celeriac_limited"] = message.get("celeriac-limited") is not None
    if receipt is not None:
        properties["delivery_tag"] = receipt
    elif not isinstance(properties.get("delivery_tag"), str):
        raise InvalidMessage(f"properties.delivery_tag must be text; it is {shown(properties.get('delivery_tag'))}")


def _body(body: Any, encoding: Any) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        raise InvalidMessage(f"the body must be text; it is {shown(body)}")
    try:
        if encoding is None:
            return body.encode()
        if encoding == "base64":
            return binascii.a2b_base64(body)
    except (binascii.Error, ValueError) as error:
        raise InvalidMessage(f"the body cannot be decoded: {_first_line(error)}") from None
    raise InvalidMessage(f"properties.body_encoding must be base64, or null; it is {shown(encoding)}")


def _legible(headers: Any) -> dict[str, Any]:
    """Return the headers that identify the job, from headers that may be wrong."""
    if not isinstance(headers, dict):
        return {}
    known = cast("dict[str, Any]", headers)
    return {name: text for name in ("id", "task", "root_id", "parent_id") if (text := name_of(known, name))}


def _undelivered(receipt: str) -> dict[str, Any]:
    return {"delivery_tag": receipt, "delivery_info": {}}


def _first_line(error: Exception) -> str:
    return ascii(str(error).partition("\n")[0][:200])[1:-1]
