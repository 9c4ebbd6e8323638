"""Messages told at a glance: what is usual is right, and what Celery and we publish is usual."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, datetime
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from celery import Celery

from celeriac.core.checks import check_arguments, check_task, fill_in
from celeriac.core.envelope import Canvas, EnvelopeWriter, MessageOptions
from celeriac.core.inbound import receive
from celeriac.core.usual import has_usual_arguments, is_usual
from celeriac.engine.messages import check_headers

_ODD: list[Any] = ["", "x", "ü", "\ud800", "x" * 1025, None, True, False, 0, 1, -1, 2**40, 1.5, [], {}, ["a"], {"a": 1}]
_ODD += [[None, None], [1, None], [True, 2.5], [-1, None], [float("nan"), None], {"exchange": "", "routing_key": "q"}]
_FOREIGN = {"compression", "celeriac-limited", "celeriac_losses", "celeriac_run", "chord", "args", "own"}
_MISSING = object()
_NO_CANVAS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def published_by_celery() -> dict[str, Any]:
    app = Celery("shop", broker="memory://")
    app.send_task("shop.ship", (1,))
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        message = queue.get(timeout=1)
        return {
            "body": message.body.decode() if isinstance(message.body, bytes) else message.body,
            "content-type": message.content_type,
            "content-encoding": message.content_encoding,
            "headers": message.headers,
            "properties": message.properties,
        }


def typed(**delivery: Any) -> dict[str, Any]:
    return json.loads(
        EnvelopeWriter().write("shop.ship", "a", b'{"order":1}', MessageOptions(queue="mail", **delivery))
    )


def test_what_celery_publishes_is_usual() -> None:
    assert is_usual(published_by_celery())


@pytest.mark.parametrize(
    "delivery",
    [{}, {"retries": 3, "timeout": 20.0, "parent_id": "b", "root_id": "c"}, {"canvas": Canvas(group_index=2)}],
)
def test_what_a_typed_job_is_enqueued_as_is_usual(delivery: dict[str, Any]) -> None:
    message = typed(**delivery)
    assert is_usual(message)
    assert has_usual_arguments(json.loads(message["body"]))


def test_what_is_due_later_or_follows_another_is_looked_at() -> None:
    assert not is_usual(typed(eta=datetime(2030, 1, 1, tzinfo=UTC)))
    assert not has_usual_arguments(json.loads(typed(canvas=Canvas(chain=[{"task": "x"}]))["body"]))


def test_what_is_usual_is_right() -> None:
    """Tries each value in the place of each part, and each part missing."""
    looked_at = 0
    for place in ((), ("headers",), ("properties",), ("properties", "delivery_info")):
        for name in {*_part(typed(), place), *_FOREIGN} - {"body"}:
            for value in [*_ODD, _MISSING]:
                message = typed()
                part = _part(message, place)
                part.pop(name, None)
                if value is not _MISSING:
                    part[name] = copy.deepcopy(value)
                if is_usual(message):
                    _check(message)
                else:
                    looked_at += 1
    assert looked_at > 100


def test_usual_arguments_are_right() -> None:
    for args, kwargs, embed in itertools.product([*_ODD, _NO_CANVAS], repeat=3):
        if has_usual_arguments([args, kwargs, embed]):
            check_arguments([args, kwargs, embed])
    assert not any(has_usual_arguments(body) for body in [*_ODD, [[], {}], [[], {}, _NO_CANVAS, 1]])


def _part(message: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    return reduce(getitem, place, message)


def _check(message: dict[str, Any]) -> None:
    said = {name: value for name, value in message["headers"].items() if name != "eta"}
    arrival = receive(copy.deepcopy(message), "worker/1")
    assert arrival.fault is None
    check_headers(arrival.headers)
    fill_in(arrival.headers)
    check_task(arrival.headers, arrival.properties)
    assert arrival.headers == said
    assert arrival.properties["delivery_info"] == {**message["properties"]["delivery_info"], "celeriac_limited": False}
