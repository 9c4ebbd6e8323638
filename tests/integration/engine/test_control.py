"""`app.control` in a process that has used it before, and keeps connections for the next command while they last."""

from __future__ import annotations

import os

import pytest
import redis
from celery import Celery

from celeriac import Celeriac, celery_settings
from celeriac.store import keys
from tests.support.fixtures import PATIENT, StartWorker

#: How the server calls the connections of the application, and of nobody else.
NAME = "controlling"


@pytest.fixture
def controlling(app: Celeriac) -> Celeriac:
    app.conf.broker_transport_options = {"client_name": NAME}
    return app


def cut(broker: redis.Redis) -> None:
    """Close all connections of the application, as a server does that is restarted, or that has a `timeout`."""
    ids = [client["id"] for client in broker.client_list() if client["name"] == NAME]  # type: ignore[union-attr]
    assert [broker.client_kill_filter(_id=number) for number in ids] == [1] * len(ids) != []


def test_a_command_is_answered_after_the_server_closed_the_connections(
    controlling: Celeriac, start: StartWorker, module: str, broker: redis.Redis, broker_url: str
) -> None:
    worker = start(module, pool="threads")
    answer = [{f"{worker.name}@{os.uname().nodename}": {"ok": "pong"}}]
    plain = Celery("plain", set_as_current=False)
    plain.conf.update(celery_settings(broker_url))
    plain.conf.broker_transport_options["client_name"] = NAME
    with plain:
        for app in (controlling, plain):
            for _ in range(3):
                assert app.control.ping(timeout=PATIENT, limit=1) == answer
                cut(broker)


def test_a_revocation_is_stored_after_the_server_closed_the_connections(
    controlling: Celeriac, broker: redis.Redis
) -> None:
    for task_id, reply in (("one", True), ("two", False), ("three", True), ("four", True)):
        controlling.control.revoke(task_id, reply=reply, timeout=0.1)
        cut(broker)
    assert broker.zrange(keys.REVOKED, 0, -1) == [b"one", b"two", b"three", b"four"]


def test_a_revocation_is_stored_after_a_command_whose_replies_were_not_awaited(
    controlling: Celeriac, broker: redis.Redis
) -> None:
    broker.script_flush()  # so that the reply to the call tells that it is to be sent again
    controlling.control.ping(timeout=0.01)
    controlling.control.revoke("one")
    assert broker.zrange(keys.REVOKED, 0, -1) == [b"one"]
