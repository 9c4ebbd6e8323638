"""Messages that nobody should send: what a bug, another program or an enemy may make of one that is all right."""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

Message = dict[str, Any]
Forgery = Callable[[Message], bytes]


def written(message: Message) -> bytes:
    return json.dumps(message).encode()


def with_header(name: str, value: Any) -> Forgery:
    return lambda message: written({**message, "headers": {**message["headers"], name: value}})


def without_header(name: str) -> Forgery:
    return lambda message: written({**message, "headers": {n: v for n, v in message["headers"].items() if n != name}})


def with_property(name: str, value: Any) -> Forgery:
    return lambda message: written({**message, "properties": {**message["properties"], name: value}})


def with_field(name: str, value: Any) -> Forgery:
    return lambda message: written({**message, name: value})


def with_body(body: str) -> Forgery:
    """With that JSON as its body, as text."""

    def forge(message: Message) -> bytes:
        properties = {name: value for name, value in message["properties"].items() if name != "body_encoding"}
        return written({**message, "body": body, "properties": properties})

    return forge


def with_embed(embed: Any) -> Forgery:
    return with_body(json.dumps([[], {}, embed]))


def compressed(method: str, data: bytes) -> Forgery:
    def forge(message: Message) -> bytes:
        headers = {**message["headers"], "compression": method}
        properties = {**message["properties"], "body_encoding": "base64"}
        return written({**message, "headers": headers, "properties": properties, "body": b64encode(data).decode()})

    return forge


def raw(data: bytes) -> Forgery:
    return lambda _: data


@cache
def bomb() -> bytes:
    """70 MiB, in a thousandth of that. Packing it takes a tenth of a second: not when this module is imported."""
    packer, piece = zlib.compressobj(1), bytes(2**20)
    return b"".join(packer.compress(piece) for _ in range(70)) + packer.flush()


def with_bomb(message: Message) -> bytes:
    return compressed("application/x-gzip", bomb())(message)


#: Those after which nobody can know which job it was.
NAMELESS: dict[str, Forgery] = {
    "nothing": raw(b""),
    "no JSON": raw(b"no JSON"),
    "no text": raw(b"\xff\xfe\x00{}"),
    "a number": raw(b"7"),
    "a list": raw(b"[]"),
    "an empty object": raw(b"{}"),
    "no headers": raw(b'{"properties": {}}'),
    "properties that are a number": raw(b'{"properties": 7, "body": 1}'),
    "50,000 levels": raw(b"[" * 50_000),
    "id null": with_header("id", None),
    "id true": with_header("id", True),
    "id a list": with_header("id", ["a"]),
    "id a number": with_header("id", 7),
    "id empty": with_header("id", ""),
    "id too long": with_header("id", "x" * 5000),
    "id half a character": with_header("id", "\udcff"),
    "id missing": without_header("id"),
    "headers a list": with_field("headers", [1]),
    "headers text": with_field("headers", "x"),
}

#: Those that still tell which job it was.
NAMED: dict[str, Forgery] = {
    "task null": with_header("task", None),
    "task a list": with_header("task", [1]),
    "task unheard of": with_header("task", "nobody.knows"),
    "task missing": without_header("task"),
    "retries text": with_header("retries", "x"),
    "retries negative": with_header("retries", -1),
    "retries true": with_header("retries", True),
    "retries half": with_header("retries", 0.5),
    "retries without end": with_header("retries", 10**40),
    "timelimit text": with_header("timelimit", "soon"),
    "timelimit of three": with_header("timelimit", [1, 2, 3]),
    "timelimit of text": with_header("timelimit", ["x", None]),
    "timelimit negative": with_header("timelimit", [-1, None]),
    "timelimit NaN": with_header("timelimit", [float("nan"), None]),
    "eta text": with_header("eta", "tomorrow"),
    "eta a number": with_header("eta", 17),
    "expires text": with_header("expires", "never"),
    "expires a list": with_header("expires", [1]),
    "group a number": with_header("group", 4),
    "group_index text": with_header("group_index", "x"),
    "root_id a list": with_header("root_id", []),
    "parent_id an object": with_header("parent_id", {"a": 1}),
    "shadow a number": with_header("shadow", 4),
    "stamps a list": with_header("stamps", [1]),
    "stamped_headers text": with_header("stamped_headers", "x"),
    "a header named get": with_header("get", 3),
    "a header named chord": with_header("chord", 3),
    "a header of ours": with_header("celeriac_run", 3),
    "compression unheard of": with_header("compression", "x-nobody"),
    "compression a list": with_header("compression", [1]),
    "delivery_info text": with_property("delivery_info", "x"),
    "routing_key a list": with_property("delivery_info", {"routing_key": [1]}),
    "reply_to an object": with_property("reply_to", {}),
    "body_encoding unheard of": with_property("body_encoding", "rot13"),
    "body_encoding a list": with_property("body_encoding", [1]),
    "properties null": with_field("properties", None),
    "losses text": with_field("celeriac-redelivered", "x"),
    "content type unheard of": with_field("content-type", "application/x-nobody"),
    "content type pickle": with_field("content-type", "application/x-python-serialize"),
    "content type a number": with_field("content-type", 7),
    "content encoding a number": with_field("content-encoding", 7),
    "body null": with_field("body", None),
    "body a number": with_field("body", 7),
    "body an object": with_field("body", {}),
    "body half a character": with_body('"\udcff"'),
    "body no JSON": with_body("no JSON"),
    "body null in JSON": with_body("null"),
    "body an object in JSON": with_body("{}"),
    "body of two": with_body("[[], {}]"),
    "body 50,000 levels deep": with_body("[" * 50_000 + "]" * 50_000),
    "body with a number of 4,501 digits": with_body('[[], {"value": ' + "1" * 4501 + "}, {}]"),
    "args null": with_body("[null, {}, {}]"),
    "args an object": with_body("[{}, {}, {}]"),
    "kwargs null": with_body("[[], null, {}]"),
    "kwargs a list": with_body("[[], [], {}]"),
    "embed 3": with_embed(3),
    "embed a list": with_embed([]),
    "embed with an id": with_embed({"id": 5}),
    "callbacks 3": with_embed({"callbacks": 3}),
    "callbacks of numbers": with_embed({"callbacks": [3]}),
    "errbacks 3": with_embed({"errbacks": 3}),
    "chain text": with_embed({"chain": "x"}),
    "chord 3": with_embed({"chord": 3}),
    "chord without a task": with_embed({"chord": {}}),
    "a gzip bomb": with_bomb,
    "no gzip at all": compressed("gzip", b"no gzip"),
    "gzip of another form": compressed("gzip", gzip.compress(b"[]")),
}

#: Bodies in which something stands for what JSON does not know, and cannot be made: to Celery's tasks only.
UNDECODABLE: dict[str, Forgery] = {
    "an unknown type": with_body('[[], {"value": {"__type__": "money", "__value__": 5}}, {}]'),
    "no datetime": with_body('[[], {"value": {"__type__": "datetime", "__value__": 5}}, {}]'),
    "no type": with_body('[[], {"value": {"__type__": [], "__value__": 5}}, {}]'),
}
