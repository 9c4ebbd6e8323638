"""Our messages against those of Celery's own publisher, captured from its in-memory transport."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from celery import Celery, Signature
from celery.worker.request import Request
from kombu.message import Message
from kombu.transport import redis as kombu_redis

from celeriac.core.envelope import Canvas, EnvelopeWriter, MessageOptions
from celeriac.core.ids import new_id

ETA = datetime(2026, 11, 23, 4, 5, 6, 789, UTC)
ARGUMENTS = {"user": 7, "name": "Zoë ☃"}


@pytest.fixture
def celery() -> Iterator[Celery]:
    app = Celery("stock", broker="memory://", set_as_current=False)
    app.conf.update(task_ignore_result=False)
    yield app
    app.close()


def published(app: Celery, **options: Any) -> dict[str, Any]:
    """What stock Celery puts on the queue."""
    app.send_task("shop.welcome", kwargs=ARGUMENTS, task_id="job-1", ignore_result=False, **options)
    with app.connection_for_write() as connection:
        return connection.default_channel._get(options.get("queue", "celery"))


def written(queue: str = "celery", **delivery: Any) -> dict[str, Any]:
    arguments = json.dumps(ARGUMENTS, ensure_ascii=False).encode()
    return json.loads(
        EnvelopeWriter().write("shop.welcome", "job-1", arguments, MessageOptions(queue=queue, **delivery))
    )


PARENT = {"parent_id": "parent-1", "root_id": "root-1"}


@pytest.mark.parametrize(
    ("celerys", "ours"),
    [
        ({}, {}),
        ({"queue": "mail"}, {"queue": "mail"}),
        ({"eta": ETA}, {"eta": ETA}),
        (PARENT, PARENT),
        ({"retries": 3}, {"retries": 3}),
        ({"priority": 6}, {"celery_priority": 6}),
        ({"time_limit": 35.0}, {"timeout": 35.0}),
        ({"group_id": "g", "group_index": 4}, {"canvas": Canvas(group="g", group_index=4)}),
    ],
    ids=["plain", "queue", "eta", "parent", "retries", "priority", "time limit", "group"],
)
def test_a_message_is_field_by_field_what_celery_publishes(
    celery: Celery, celerys: dict[str, Any], ours: dict[str, Any]
) -> None:
    theirs, mine = published(celery, **celerys), written(**ours)
    assert json.loads(mine.pop("body")) == json.loads(base64.b64decode(theirs.pop("body")))
    # What differs on purpose: plain text instead of Base64, JSON for people, and no queue for replies.
    assert theirs["properties"].pop("body_encoding") == "base64"
    assert theirs["headers"].pop("kwargsrepr") == repr(ARGUMENTS)
    assert json.loads(mine["headers"].pop("kwargsrepr")) == ARGUMENTS
    assert theirs["properties"].pop("reply_to")
    assert mine["properties"].pop("reply_to") == ""
    assert theirs["properties"].pop("delivery_tag") != mine["properties"].pop("delivery_tag")
    assert mine == theirs


def consumed(app: Celery, envelope: dict[str, Any]) -> Message:
    """The message as a consumer of kombu's Redis transport decodes it."""
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        return kombu_redis.Channel.Message(envelope, channel=channel, accept={"application/json"})


def test_kombu_decodes_the_body_and_celerys_worker_makes_a_request_of_it(celery: Celery) -> None:
    @celery.task(name="shop.welcome")
    def welcome(**_: Any) -> None: ...

    chain = json.loads(json.dumps([Signature("shop.next", args=(1,))]))
    message = consumed(celery, written(eta=ETA, timeout=35.0, retries=2, canvas=Canvas(chain=chain), **PARENT))
    assert message.decode() == [
        [],
        ARGUMENTS,
        {"callbacks": None, "errbacks": None, "chain": chain, "chord": None},
    ]
    request = Request(message, app=celery, task=welcome, utc=True)
    assert (request.id, request.name, request.root_id, request.parent_id) == (
        *("job-1", "shop.welcome"),
        *("root-1", "parent-1"),
    )
    assert (request.kwargs, request.eta, request.time_limits) == (ARGUMENTS, ETA, [35.0, None])
    assert request.request_dict["retries"] == 2


def test_a_time_in_another_zone_is_the_same_instant(celery: Celery) -> None:
    eta = ETA.astimezone(timezone(timedelta(hours=-5)))
    assert datetime.fromisoformat(consumed(celery, written(eta=eta)).headers["eta"]) == ETA


def test_a_job_of_its_own_is_the_root_of_its_tree() -> None:
    headers = written()["headers"]
    assert (headers["root_id"], headers["parent_id"]) == ("job-1", None)


def test_what_monitors_show_of_long_arguments_is_cut_and_the_arguments_are_not() -> None:
    arguments = json.dumps({"text": "x" * 5000}).encode()
    message = json.loads(EnvelopeWriter().write("shop.welcome", new_id(), arguments, MessageOptions(queue="celery")))
    assert json.loads(message["body"])[1] == {"text": "x" * 5000}
    assert len(message["headers"]["kwargsrepr"]) == 1024
    assert message["headers"]["kwargsrepr"].endswith("x...")


def test_a_job_that_is_written_twice_is_two_messages() -> None:
    assert written()["properties"]["delivery_tag"] != written()["properties"]["delivery_tag"]


def test_messages_of_one_envelope_differ_in_their_ids_and_arguments_alone() -> None:
    envelope = EnvelopeWriter().envelope("shop.welcome", MessageOptions(queue="celery"))
    one, two = (
        json.loads(envelope.write(*given)) for given in (("a", "tag-a", b'{"n":1}'), ("b", "tag-b", b'{"n":2}'))
    )
    for message, job_id, tag, number in ((one, "a", "tag-a", 1), (two, "b", "tag-b", 2)):
        headers, properties = message["headers"], message["properties"]
        assert (headers.pop("id"), headers.pop("root_id"), properties.pop("correlation_id")) == (job_id,) * 3
        assert properties.pop("delivery_tag") == tag
        assert json.loads(message.pop("body"))[1] == {"n": number}
        assert json.loads(headers.pop("kwargsrepr")) == {"n": number}
    assert one == two


@pytest.mark.parametrize("job_id", ['a"b', "a\\b", "Zoë ☃", "{}", "a\nb"])
def test_ids_that_other_producers_chose_cannot_break_a_message(job_id: str) -> None:
    arguments = json.dumps({"text": job_id}).encode()
    message = json.loads(
        EnvelopeWriter().write(job_id, job_id, arguments, MessageOptions(queue=job_id, root_id=job_id))
    )
    headers = message["headers"]
    assert {headers["id"], headers["root_id"], headers["task"]} == {job_id}
    assert message["properties"]["delivery_info"]["routing_key"] == job_id
    assert json.loads(message["body"])[1] == {"text": job_id}


def test_long_arguments_are_cut_between_characters() -> None:
    arguments = json.dumps({"text": "☃" * 2000}, ensure_ascii=False).encode()
    message = json.loads(EnvelopeWriter().write("shop.welcome", "job-1", arguments, MessageOptions(queue="celery")))
    assert message["headers"]["kwargsrepr"].endswith("☃☃...")
