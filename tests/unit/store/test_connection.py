"""The URLs that Celery's users write, as redis-py reads them."""

import asyncio

import pytest
from redis import Redis

from celeriac.core.errors import BrokerUnavailable
from celeriac.store.connection import deadline, redis_py_url


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


async def test_a_fault_inside_a_deadline_that_is_not_the_brokers_stays_what_it_is() -> None:
    with pytest.raises(KeyError):
        async with deadline(5):
            raise KeyError("ours")


async def test_a_broker_that_does_not_answer_in_time_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailable, match=r"did not answer within 0\.01 s"):
        async with deadline(0.01):
            await asyncio.Event().wait()
