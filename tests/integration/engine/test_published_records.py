"""The record of a job that Celery's own calls publish: it tells what was published, and not what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import chain, group, signals
from kombu import Exchange, Queue

from celeriac import Celeriac, JobState
from celeriac.core.errors import InvalidMessage

LATER = (datetime.now(UTC) + timedelta(hours=5)).replace(microsecond=0)
Publish = Callable[[Celeriac, Any], Any]
WAYS: dict[str, Publish] = {
    "send_task": lambda app, options: app.send_task("letter", **options),
    "apply_async": lambda app, options: app.tasks["letter"].apply_async(**options),
    "signature": lambda app, options: app.tasks["letter"].si().apply_async(**options),
    "group": lambda app, options: group(app.tasks["letter"].si()).apply_async(**options).results[0],
    "chain": lambda app, options: (
        chain(app.tasks["letter"].si(), app.tasks["letter"].si()).apply_async(**options).parent
    ),
}


@pytest.fixture(params=["typed", "plain"])
def sender(request: pytest.FixtureRequest, app: Celeriac) -> Celeriac:
    """An application with a task `letter`, whose messages the router sends to the queue `mail`."""

    def letter() -> None: ...

    app.conf.update(
        task_routes={"letter": {"queue": "mail", "priority": 6}},
        task_queues=[
            Queue("celery", routing_key="celery"),
            Queue("mail", Exchange("post"), routing_key="mail"),
            Queue("slow", Exchange("post"), routing_key="by.ship"),
        ],
        timezone="America/New_York",
    )
    if request.param == "typed":
        app.job(name="letter")(letter)
    else:
        app.task(name="letter", shared=False)(letter)  # or Celery adds it to the applications of other tests, too
    return app


def on_broker(broker: redis.Redis, queue: str) -> int:
    """How many messages wait in a queue, of any priority, or for their time."""
    keys = [key for key in broker.keys(f"{queue}*") if broker.type(key) == b"list"]
    return sum(broker.llen(key) for key in keys) + broker.zcard(f"celeriac:delayed:{queue}")


@pytest.mark.parametrize("way", WAYS)
async def test_a_record_names_queue_and_priority_that_the_router_chose(
    sender: Celeriac, broker: redis.Redis, way: str
) -> None:
    result = WAYS[way](sender, {})
    record = await sender.client.get(result.id)
    assert (record.queue, record.priority, record.state) == ("mail", 3, JobState.QUEUED)
    assert on_broker(broker, "mail") == 1


async def test_a_record_names_the_queue_that_exchange_and_routing_key_lead_to(
    sender: Celeriac, broker: redis.Redis
) -> None:
    with sender.connection_for_write() as connection:  # as a worker that takes from it does
        sender.amqp.queues["slow"](connection.default_channel).declare()
    result = sender.send_task("letter", exchange="post", routing_key="by.ship", priority=0)
    record = await sender.client.get(result.id)
    assert (record.queue, record.priority) == ("slow", 9)
    assert on_broker(broker, "slow") == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "eta",
    [LATER, LATER.replace(tzinfo=None), LATER.isoformat(), LATER.replace(tzinfo=None).isoformat()],
    ids=["aware", "naive", "text", "naive text"],
)
async def test_a_record_tells_when_its_message_is_due(
    sender: Celeriac, broker: redis.Redis, way: str, eta: datetime | str
) -> None:
    result = WAYS[way](sender, {"eta": eta})
    record = await sender.client.get(result.id)
    assert (record.state, record.delay_until) == (JobState.SCHEDULED, LATER)
    assert broker.zscore("celeriac:delayed:mail", broker.zrange("celeriac:delayed:mail", 0, 0)[0]) == (
        LATER.timestamp() * 1000
    )


async def test_a_record_tells_what_a_signal_handler_made_of_the_message(sender: Celeriac) -> None:
    def put_off(headers: dict[str, Any], **_: Any) -> None:
        headers["eta"] = LATER.isoformat()

    signals.before_task_publish.connect(put_off)
    try:
        result = sender.send_task("letter")
    finally:
        signals.before_task_publish.disconnect(put_off)
    assert (await sender.client.get(result.id)).delay_until == LATER


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", [{"eta": "tomorrow"}, {"expires": "never"}])
def test_what_no_worker_could_read_is_refused_before_it_is_published(
    sender: Celeriac, broker: redis.Redis, way: str, wrong: dict[str, str]
) -> None:
    with pytest.raises(InvalidMessage, match=r"headers\.|eta|expires"):
        WAYS[way](sender, wrong)
    assert on_broker(broker, "mail") == 0


def test_an_id_that_cannot_be_sent_is_refused_before_it_is_published(sender: Celeriac, broker: redis.Redis) -> None:
    with pytest.raises(InvalidMessage, match=r"headers\.id"):
        sender.send_task("letter", task_id="\ud800")
    assert on_broker(broker, "mail") == 0
