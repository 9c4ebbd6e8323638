"""What plain tasks take and return passes through our messages and our result backend as through Celery's own."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from celery import Celery, chain, group
from celery import states as celery_states
from celery.app.task import Context
from celery.backends.redis import RedisBackend
from celery.result import GroupResult
from hypothesis import given
from kombu.exceptions import EncodeError
from kombu.utils.json import dumps, loads

from celeriac import celery_settings
from celeriac.core import codec
from celeriac.core.envelope import EnvelopeWriter, MessageOptions
from celeriac.core.inbound import read
from celeriac.engine.backend import ResultBackend
from celeriac.engine.execution import _canvas_of  # pyright: ignore[reportPrivateUsage]
from celeriac.engine.messages import Message
from tests.support.values import BEYOND_JSON, EXACT, VALUES, spelt

URL = "redis://127.0.0.1:6379/0"  # nothing here connects


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 9


class Label(str):
    __slots__ = ()


class Count(int):
    __slots__ = ()


class Money:
    def __json__(self) -> Any:
        return {"amount": 5, "currency": "EUR"}


@dataclasses.dataclass
class Point:
    x: int

    def __json__(self) -> Any:
        return [self.x]


@dataclasses.dataclass
class Mute:
    x: int


class Nothing(dict[str, Any]):
    """A mapping of one's own."""


@pytest.fixture(scope="module")
def celery() -> Iterator[Celery]:
    """A producer of stock Celery."""
    app = Celery("stock", broker="memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture(scope="module")
def backends() -> tuple[ResultBackend, RedisBackend]:
    """Ours, and Celery's."""
    app = Celery("plain", set_as_current=False)
    app.conf.update(celery_settings(URL))
    ours: Any = app.backend
    return ours, RedisBackend(app=app, url=URL)


def arrived(celery: Celery, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], Any]:
    """Headers and body of a message that stock Celery publishes, as the asyncio worker reads them."""
    celery.send_task("shop.welcome", args, kwargs.pop("kwargs", None), **kwargs)
    with celery.connection_for_write() as connection:
        published = connection.default_channel._get("celery")
    message: Any = Message(read(dumps(published).encode(), "worker/1"))  # as kombu's transport for Redis writes it
    return message.headers, message.payload


@given(VALUES)
def test_arguments_of_plain_tasks_arrive_as_they_were_sent(celery: Celery, value: Any) -> None:
    _, body = arrived(celery, value, kwargs={"named": value})
    assert spelt(body[:2]) == spelt([[value], {"named": value}])


@given(VALUES)
def test_headers_of_the_users_arrive_as_they_were_sent(celery: Celery, value: Any) -> None:
    headers, _ = arrived(celery, headers={"mine": value})
    assert spelt(headers["mine"]) == spelt(value)


@pytest.mark.parametrize("value", EXACT + BEYOND_JSON, ids=ascii)
def test_values_that_fast_readers_change_arrive_as_they_were_sent(celery: Celery, value: Any) -> None:
    headers, body = arrived(celery, value, headers={"mine": value})
    assert spelt((headers["mine"], body[0])) == spelt((value, [value]))


def test_a_canvas_is_written_with_all_that_celery_can_write() -> None:
    """A typed job that fans out is called again by a message of ours, with the links that it had."""
    args = [2**70, datetime(2026, 11, 22, tzinfo=UTC), Decimal("1.10"), float("nan"), "\udcff", b"\xff"]
    request = Context({"callbacks": [{"task": "next", "args": args}]})
    written = EnvelopeWriter().write("job", "1", b"{}", MessageOptions(queue="q", canvas=_canvas_of(request)))
    assert spelt(loads(codec.loads(written)["body"])[2]["callbacks"][0]["args"]) == spelt(args)


REQUEST = Context({"id": "1", "group": None, "parent_id": None})


def stored(backend: ResultBackend, value: Any) -> Any:
    """The result in what our backend stores for a success, as JSON types."""
    meta = json.loads(backend._success("1", value, REQUEST))  # pyright: ignore[reportPrivateUsage]
    assert (meta["status"], meta["task_id"]) == ("SUCCESS", "1")
    return meta["result"]


@given(VALUES)
def test_results_of_plain_tasks_come_back_as_they_were_returned(
    backends: tuple[ResultBackend, RedisBackend], value: Any
) -> None:
    ours, stock = backends
    outcome = ours._success("1", value, REQUEST)  # pyright: ignore[reportPrivateUsage]
    assert spelt(stock.decode_result(outcome)["result"]) == spelt(value)
    assert spelt(codec.loads(outcome)["result"]) == spelt(value)


def encodable(app: Celery) -> list[Any]:
    """One of everything that Celery's encoder has a word for."""
    task: Any = app.signature("shop.welcome", (1,))
    pending = app.AsyncResult("a", parent=app.AsyncResult("b"))
    return [
        *EXACT,
        *BEYOND_JSON,
        *[None, True, 0, 1.5, "text", [], {}, (1, (2,)), {"a": (1,)}],
        *[datetime(2026, 11, 22, 12, 30), datetime(2026, 11, 22, tzinfo=UTC), date(2026, 11, 22), time(12, 30)],
        *[Decimal("1.10"), Decimal("NaN"), UUID(int=5), b"text", b"\x00\xff"],
        *[Colour.RED, Level.HIGH, Label("label"), Count(7), Money(), Point(3), [Money(), {"p": Point(4)}]],
        *[Nothing(a=1), {1: "a", None: "b", 2.5: "d"}, {"d": datetime(2026, 1, 1)}],
        *[pending, GroupResult("g", [pending, app.AsyncResult("c")]), app.ResultSet([pending])],
        *[task, chain(task, task), group(task, task), task | task],
        *[{1, 2}, Mute(1), object(), [object()], 1j, {"a": {b"b": 1}}, {(1, 2): 3}, pending.get, [pending]],
    ]


def as_celery_stores(backend: RedisBackend, value: Any) -> Any:
    result = backend.encode_result(value, celery_states.SUCCESS)
    return json.loads(backend.encode({"result": result}))["result"]


def outcome_of(make: Any, *args: Any) -> str:
    try:
        return spelt(make(*args))
    except (TypeError, ValueError, AttributeError, EncodeError) as error:
        return type(error).__name__


def test_every_result_is_stored_as_celerys_own_backend_stores_it(
    backends: tuple[ResultBackend, RedisBackend], celery: Celery
) -> None:
    ours, stock = backends
    values = encodable(celery)
    seen = [outcome_of(stored, ours, value) for value in values]
    assert seen == [outcome_of(as_celery_stores, stock, value) for value in values]
    refused = [value for value, what in zip(values, seen, strict=True) if what.endswith("Error")]
    assert {type(value).__name__ for value in refused} >= {"set", "Mute", "object", "complex", "ResultSet"}
    assert len(refused) < len(values) / 3
