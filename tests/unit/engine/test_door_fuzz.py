"""Whatever is in a queue, reading and checking it ends with a message that can be run, or with a cause why not."""

from __future__ import annotations

import json
from typing import Any

from celery.app.task import Context
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import ContentDisallowed

from celeriac.core.envelope import EnvelopeWriter, MessageOptions
from celeriac.core.errors import InvalidMessage
from celeriac.core.inbound import read
from celeriac.engine.causes import Cause
from celeriac.engine.messages import Message, check
from tests.support.forgeries import NAMED, NAMELESS, UNDECODABLE

GOOD = EnvelopeWriter().write("send", "job-1", b'{"value":1}', MessageOptions(queue="mail"))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\udcff", "x" * 3000])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
names = st.text() | st.sampled_from(
    [
        *("id", "task", "root_id", "parent_id", "group", "group_index", "shadow", "retries", "timelimit", "eta"),
        *("expires", "stamps", "stamped_headers", "compression", "chord", "chain", "get", "_children", "headers"),
        *("celeriac_run", "delivery_info", "body_encoding", "reply_to", "correlation_id", "priority", "delivery_tag"),
        *("exchange", "routing_key", "celeriac_losses", "redelivered", "callbacks", "errbacks", "args", "kwargs"),
    ]
)
fields = st.sampled_from(
    ["headers", "properties", "body", "content-type", "content-encoding", "celeriac-redelivered", "other"]
)


#: Any bytes, or what is changed in a message that is all right: one of its parts, and to what.
forged_messages = (
    st.binary()
    | st.tuples(st.sampled_from(["headers", "properties"]), st.dictionaries(names, anything, max_size=3))
    | st.tuples(fields, anything)
)


def changed(message: dict[str, Any], part: str, value: Any) -> bytes:
    """A message in which a part is another, or holds more."""
    both = isinstance(value, dict) and isinstance(message.get(part), dict)
    return json.dumps({**message, part: {**message[part], **value} if both else value}).encode()


def verdict(raw: bytes) -> str:
    """The cause why a message cannot be run; empty if it can, which the rest of the engine may rely on."""
    message = Message(read(raw, "w/1"))
    assert message.delivery_tag == "w/1"
    if message.errors:
        error = message.errors[0][1]
        assert isinstance(error, InvalidMessage)
        return Cause.of(error).text
    message.accepts({"application/json"})
    try:
        check(message)
    except (InvalidMessage, ContentDisallowed) as error:
        return Cause.of(error).text
    facts = message.headers if "id" in message.headers else message.payload
    assert 0 < len(facts["id"].encode()) <= 4 * 1024
    assert facts["task"].encode()
    assert isinstance(facts.get("retries", 0), int)
    if isinstance(message.payload, list):
        args, kwargs, embed = message.payload
        assert isinstance(args, list) and isinstance(kwargs, dict)
        context = Context({**message.headers, **(embed or {}), "args": args, "kwargs": kwargs})
        assert callable(context.get)
        for called in (context.callbacks, context.errbacks, context.chain):
            assert all(isinstance(signature["task"], str) for signature in called or ())
    return ""


def is_told(cause: str) -> bool:
    """Whether a cause can be stored, logged and shown: printable, and of bounded length."""
    return cause.isprintable() and 0 < len(cause.encode()) <= 4000


def test_a_message_of_our_own_can_be_run() -> None:
    assert verdict(GOOD) == ""


def test_every_forgery_has_a_cause_that_can_be_told() -> None:
    for name, forge in (NAMED | NAMELESS | UNDECODABLE).items():
        if name != "task unheard of":  # which no worker but one can tell
            assert is_told(verdict(forge(json.loads(GOOD)))), name


@given(st.binary())
def test_any_bytes(raw: bytes) -> None:
    assert is_told(verdict(raw))


@given(anything)
def test_any_json(value: Any) -> None:
    assert is_told(verdict(json.dumps(value).encode()))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, 3))
def test_a_message_that_was_damaged_on_its_way(at: int, byte: int, dropped: int) -> None:
    cause = verdict(GOOD[:at] + bytes([byte]) + GOOD[at + dropped :])
    assert cause == "" or is_told(cause)


@given(fields, anything)
def test_a_message_with_any_field(field: str, value: Any) -> None:
    cause = verdict(json.dumps({**json.loads(GOOD), field: value}).encode())
    assert cause == "" or is_told(cause)


@given(st.sampled_from(["headers", "properties"]), st.dictionaries(names, anything, max_size=3))
def test_a_message_with_any_header_and_property(part: str, values: dict[str, Any]) -> None:
    message = json.loads(GOOD)
    message[part].update(values)
    cause = verdict(json.dumps(message).encode())
    assert cause == "" or is_told(cause)


@given(st.dictionaries(names, anything, max_size=3))
def test_a_message_that_is_delivered_in_any_way(values: dict[str, Any]) -> None:
    message = json.loads(GOOD)
    message["properties"]["delivery_info"].update(values)
    cause = verdict(json.dumps(message).encode())
    assert cause == "" or is_told(cause)


@given(anything | st.tuples(anything, anything, st.dictionaries(names, anything, max_size=3) | anything))
def test_a_message_with_any_body(body: Any) -> None:
    cause = verdict(json.dumps({**json.loads(GOOD), "body": json.dumps(body)}).encode())
    assert cause == "" or is_told(cause)


@given(st.dictionaries(names, anything, max_size=6), st.booleans())
def test_a_message_of_celerys_first_protocol(body: dict[str, Any], is_complete: bool) -> None:
    message = {**json.loads(GOOD), "headers": {}}
    told = {**({"id": "job-1", "task": "send", "args": [], "kwargs": {}} if is_complete else {}), **body}
    cause = verdict(json.dumps({**message, "body": json.dumps(told)}).encode())
    assert cause == "" or is_told(cause)
