"""The URLs that Celery's users write, as redis-py reads them."""

import asyncio

import pytest
from redis import Redis
from redis.exceptions import (
    BusyLoadingError,
    DataError,
    InvalidResponse,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    WatchError,
)
from redis.exceptions import ConnectionError as ReadError
from redis.exceptions import TimeoutError as RedisTimeoutError

from celeriac.core.errors import BrokerUnavailable
from celeriac.store.redis.connection import deadline, is_absence, redis_py_url, without_secrets


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("redis://host:6379/3", {"host": "host", "port": 6379, "db": 3}),
        ("rediss://user:p%40ss@host/1", {"host": "host", "username": "user", "password": "p@ss", "db": 1}),
        ("unix:///run/valkey.sock?db=2", {"path": "/run/valkey.sock", "db": 2}),
        ("redis+socket:///run/valkey.sock", {"path": "/run/valkey.sock", "db": 0}),
        ("redis+socket:///run/valkey.sock?virtual_host=4", {"path": "/run/valkey.sock", "db": 4}),
        ("socket:///run/valkey.sock?virtual_host=4", {"path": "/run/valkey.sock", "db": 4}),
        ("redis+socket://user:pass@/run/valkey.sock", {"path": "/run/valkey.sock", "username": "user"}),
    ],
)
def test_redis_py_connects_to_what_celery_would(given: str, read: dict[str, object]) -> None:
    options = Redis.from_url(redis_py_url(given)).connection_pool.connection_kwargs
    assert {name: options[name] for name in read} == read


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/3", "redis://host:6379/3"),
        ("rediss://user:p%40ss@host/1?ssl_cert_reqs=none", "rediss://host/1"),
        ("redis://:secret@[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://host/0?password=secret#secret", "redis://host/0"),
        ("redis://:sec@ret@host:6379/0", "redis://host:6379/0"),
        ("redis://:sec/ret@host:6379/0", "redis://..."),
        ("redis://:sec?ret@host:6379/0", "redis://..."),
        ("redis://:sec#ret@host:6379/0", "redis://..."),
        ("redis://:sec;ret@host:6379/0", "redis://host:6379/0"),
        ("redis://host/0?password=sec@ret", "redis://..."),
        ("sentinel://:secret@a:26379;sentinel://:secret@b:26379", "sentinel://a:26379;sentinel://b:26379"),
        ("redis+socket://user:secret@/run/valkey.sock", "redis+socket:///run/valkey.sock"),
    ],
)
def test_a_broker_is_shown_without_any_part_of_its_password(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


async def test_a_fault_inside_a_deadline_that_is_not_the_brokers_stays_what_it_is() -> None:
    with pytest.raises(KeyError):
        async with deadline(5):
            raise KeyError("ours")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (ConnectionError("gone"), True),
        (ReadError("gone"), True),
        (RedisTimeoutError("late"), True),
        (TimeoutError(), True),
        (OSError("no route"), True),
        (BusyLoadingError("LOADING"), True),
        (InvalidResponse("no RESP"), True),
        (ReadOnlyError("READONLY You can't write against a read only replica."), True),
        (ResponseError("MISCONF Errors writing to the AOF file"), True),
        (ResponseError("CLUSTERDOWN The cluster is down"), True),
        (ResponseError("WRONGTYPE Operation against a key"), False),
        (ResponseError("ERR unknown command"), False),
        (NoScriptError("NOSCRIPT No matching script."), False),
        (DataError("Invalid input of type: 'NoneType'"), False),
        (WatchError("no fault of the server's"), False),
        (TypeError("ours"), False),
        (KeyError("ours"), False),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), False),
    ],
    ids=repr,
)
def test_only_what_the_server_can_get_over_is_taken_for_an_outage(error: Exception, is_one: bool) -> None:
    assert is_absence(error) is is_one


async def test_what_cannot_be_sent_is_no_outage() -> None:
    with pytest.raises(DataError):
        async with deadline(5):
            raise DataError("Invalid input of type: 'NoneType'")


async def test_a_broker_that_does_not_answer_in_time_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable, match=r"did not answer within 0\.01 s"):
        async with deadline(0.01):
            await asyncio.Event().wait()
