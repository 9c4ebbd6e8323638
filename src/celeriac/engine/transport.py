"""Kombu's Redis transport, made safe: each message is either in its queue or in the hold of a worker.

Kombu pops a message and records it in two steps, and loses it if the worker dies in between. It judges by age alone
whether a record is abandoned. When a connection breaks, it gives back messages whose jobs still run.

Here one script call takes a message (`store/messages/deliveries.py`), and a lease per worker tells what is abandoned
(`engine/lease.py`). Delayed messages wait on the broker and not in a worker. The queues remain kombu's own lists, so
that any Celery producer, worker or monitor can share them.
"""

from __future__ import annotations

import logging
from functools import cached_property
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, cast

from celery.app import amqp
from celery.worker import state as worker_state
from kombu import connection as kombu_connection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from celeriac.core.checks import time_ms
from celeriac.core.errors import ConfigurationError, InvalidMessage
from celeriac.core.inbound import Arrival, read, receive
from celeriac.engine.adoption import USUAL_LEASE_S, checked_lease
from celeriac.engine.aio import endings
from celeriac.engine.causes import Cause, take_note
from celeriac.engine.defaults import transport_options
from celeriac.engine.lease import Lease, lease_on
from celeriac.engine.messages import Message
from celeriac.engine.publication import storing_of, watched_for
from celeriac.store.jobs.transitions import Publication
from celeriac.store.messages.deliveries import put_later
from celeriac.store.messages.scheduled import drop_delayed
from celeriac.store.messages.taking import Source, Taken, take, wait_for
from celeriac.store.redis import runner
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.runner import run_blocking
from celeriac.store.scripts.script import ScriptCall

if TYPE_CHECKING:
    from celeriac.settings import Settings

log = logging.getLogger("celeriac.engine")

#: How long an idle worker waits for its first priority list. Then it looks at all: other priorities, and delayed
#: messages that came meanwhile. A delayed message that it knows of ends the wait when due.
_WAIT_S = 0.2
#: The same for a worker of several queues, which waits for one of them at a time.
_WAIT_IN_TURN_S = 0.1


class QoS(kombu_redis.QoS):
    """The messages that a channel has delivered. Acknowledges by receipt, so that a message may outlive its channel."""

    channel: Channel

    def append(self, message: Any, delivery_tag: str) -> None:
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        take_note(delivery_tag)
        if is_receipt(delivery_tag) and not self.channel.lease.hold.acknowledge(delivery_tag):
            log.warning("message %s was acknowledged too late: another worker has it now", delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        cause, hold = take_note(delivery_tag), self.channel.lease.hold
        if requeue:
            hold.put_back(delivery_tag, "last", lost=cause.lost)
        elif hold.give_up(delivery_tag, cause.text, end=cause.end):
            log.error("message %s is a dead letter now (%s); see `celeriac dead`", delivery_tag, cause.text)
        virtual.QoS.ack(self, delivery_tag)

    def forget(self, delivery_tag: str) -> None:
        """Drop a message that was dealt with otherwise, so that it does not count as delivered."""
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back the delivered messages whose jobs do not run. A running job keeps its message."""
        delivered: dict[str, Any] = self._delivered or {}
        running = running_receipts()
        for receipt in reversed(delivered):
            if receipt not in running:
                self.channel.lease.hold.put_back(receipt, "first")
        delivered.clear()

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing: the lease's thread brings back the messages of vanished workers."""


class Channel(kombu_redis.Channel):
    """Takes messages by script. In place of kombu's blocking pop, it takes and waits in turn."""

    QoS = QoS
    Message = Message

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.connection.client.alt) > 1 and type(self.connection.client) is kombu_connection.Connection:
            # With the next server, Celery's connection class also switches to kombu's transport. `Connection` does not.
            raise ConfigurationError("broker_url: give one URL; with several, use the class celeriac.Celeriac")
        if self.global_keyprefix:
            raise ConfigurationError(
                "broker_transport_options: global_keyprefix is not supported; give the application a database of its "
                "own on the same server, as in redis://host:6379/1"
            )
        client = self.connection.client
        seconds = checked_lease((client.transport_options or {}).get("lease", USUAL_LEASE_S))
        self.lease: Lease = lease_on(client.as_uri(), self._lasting_client, seconds)
        self._came_from: dict[str, str] = {}  # queue by receipt, while the consumer handles the message
        self._unacknowledged: set[str] = set()  # queues whose consumers do not acknowledge
        self._taking: ScriptCall[Taken] | None = None  # the call whose reply is awaited; None while waiting
        self._receipt = ""
        self._wait_first: float | None = None  # seconds to wait before the next call, after one that took nothing

    def _lasting_client(self) -> BlockingClient:
        """Make a client with connections of its own, which outlive the channel."""
        return self.Client(connection_pool=self._get_pool())

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        if no_ack:
            self._unacknowledged.add(queue)
        if not self.active_queues:  # it may have waited before, and the server may have closed the connection since
            self.stop_waiting()
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack:
            self.lease.hold.acknowledge(str(message.delivery_tag))
        return message

    def close(self) -> None:
        if self._in_poll:
            self.stop_waiting()
        super().close()

    def stop_waiting(self) -> None:
        """Close the connection on which the channel waits for messages, unless one may be on its way.

        The next wait opens it again.
        """
        if self._taking is None and self.client.connection is not None:
            self._in_poll = None
            self.client.connection.disconnect()

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        if self._wait_first is None:
            self._taking = self._take_call(queues)
            runner.send(self.client, self._taking.command)
        else:
            self._taking = None
            runner.send(self.client, wait_for(queues[0], max(self._wait_first, 0.001)))
            self._wait_first = None

    def _take_call(self, queues: list[str]) -> ScriptCall[Taken]:
        self._receipt = self.lease.new_receipt()
        sources = [self.source(queue, held=queue not in self._unacknowledged) for queue in queues]
        if any(source.held for source in sources):
            self.lease.keep()
        hold = self.lease.hold
        return take(sources, worker=hold.worker, receipt=self._receipt, count=1, lease_ms=hold.lease_ms)

    def source(self, queue: str, *, held: bool = True) -> Source:
        """Describe a queue, with its list for each priority."""
        return Source(queue, [self._q_for_pri(queue, priority) for priority in self.priority_steps], held=held)

    def _brpop_read(self, **options: Any) -> Literal[True]:
        try:
            taken = runner.receive(self.client, self._taking, **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = self._taking = None
        if taken is None:
            raise Empty
        if not taken.messages:
            longest = _WAIT_S if len(self.active_queues) == 1 else _WAIT_IN_TURN_S
            self._wait_first = longest if taken.next_due is None else min(longest, taken.next_due)
            raise Empty
        [(queue, message)] = taken.messages
        self._queue_cycle.rotate(queue)
        self._hand_over(queue, self._received(queue, message, taken.now_ms))
        return True

    def _hand_over(self, queue: str, arrival: Arrival) -> None:
        if self._closing:
            self.lease.hold.put_back(self._receipt, "first")
            return
        receipt = self._receipt
        self._came_from[receipt] = queue
        try:
            self.connection._deliver(arrival, queue)
        except self.connection_errors:
            raise
        except Exception as error:  # if it went back, it would stop one worker after the other
            log.exception("a message from queue %r cannot be handled; see `celeriac dead`", queue)
            self.lease.hold.give_up(receipt, Cause.of(error).text)
            cast(QoS, self.qos).forget(receipt)
        finally:
            del self._came_from[receipt]

    def put_off(self, receipt: str, due_ms: int, *, limited: str = "") -> None:
        """Give back a message that the consumer handles now, until it is due."""
        self.lease.hold.put_off(receipt, self._came_from[receipt], due_ms, limited=limited)
        cast(QoS, self.qos).forget(receipt)

    def _get(self, queue: str) -> Any:
        taken = run_blocking(self._create_client(), self._take_call([queue]))
        if not taken.messages:
            raise Empty
        return self._received(queue, taken.messages[0][1], taken.now_ms)

    def _received(self, queue: str, message: bytes, now_ms: int) -> Arrival:
        """Read a message that was taken under the current receipt.

        Raises:
            Empty: the message is not due yet, and was put off. Stock Celery producers do not delay on the broker.
        """
        arrival = read(message, self._receipt)
        if arrival.due_ms is None or arrival.due_ms <= now_ms:
            return arrival
        self.lease.hold.put_off(self._receipt, queue, arrival.due_ms)
        raise Empty

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        """Publish a message. One with an ETA goes to the delayed messages."""
        headers = message.get("headers") or {}
        task_id = headers.get("id", "")
        if published := watched_for(task_id):
            published.queue = queue
        due, storing = _due_ms(headers), storing_of(task_id)
        delivery = endings.to_be_written(task_id)
        if due is None and storing is None and delivery is None:
            super()._put(queue, message, **kwargs)
            return
        target = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        publication = Publication(queue, target, dumps(message).encode(), due)
        if delivery is None:
            run_blocking(self._create_client(), (storing or _delayed)(publication))
        elif storing is None:
            delivery.ending.publications.append(publication)
        else:
            delivery.before.append(storing(publication))

    def _purge(self, queue: str) -> int:
        return drop_delayed(self._create_client(), queue) + super()._purge(queue)


class Transport(kombu_redis.Transport):
    """Kombu's transport with Celeriac's channels."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        """Hand a message to its consumer. Drop a broadcast that cannot be read, because no queue or hold has it."""
        if not isinstance(message, Arrival):
            message = receive(message)
            if message.fault:
                log.warning("a broadcast to %r cannot be read: %s", queue, message.fault)
                return
        super()._deliver(message, queue)


#: The same class under a second name, by which a connection knows that its URL began with `rediss`.
SecureTransport = Transport

#: Kombu's names of its Redis transports, and the classes that replace them.
_OURS = {"redis": f"{__name__}:Transport", "rediss": f"{__name__}:SecureTransport"}
kombu_connection.resolve_aliases.update({ours: alias for alias, ours in _OURS.items()})  # so that it shows plain URLs


class Connection(kombu_connection.Connection):
    """A connection that uses Celeriac's transport wherever kombu would use its own for Redis.

    Its URL stays an ordinary one, for monitors. Kombu makes its pooled connections for publishing from this one's
    parameters, and finds the transport by name. With the URL of a unix socket they get kombu's own transport, which
    puts messages with an ETA into the queue. `Channel._received` puts these off.
    """

    def _init_params(self, *args: Any, **params: Any) -> None:
        super()._init_params(*args, **params)
        self.transport_cls = _OURS.get(self.transport_cls, self.transport_cls)


class AMQP(amqp.AMQP):
    """Makes the connections of a Celery application, and publishes its tasks."""

    def Connection(self, *args: Any, **kwargs: Any) -> Connection:  # type: ignore[reportIncompatibleVariableOverride]
        """Make a connection as Celery asks for it, with Celeriac's transport and lease."""
        given: dict[str, Any] = kwargs.pop("transport_options", None) or {}
        settings: Settings = cast(Any, self.app).settings
        return Connection(*args, transport_options=transport_options(settings, given), **kwargs)

    @cached_property
    def send_task_message(self) -> Any:  # type: ignore[reportIncompatibleVariableOverride]
        """Celery's function that publishes a task, which also tells `publication.watched` what it publishes."""
        send: Any = super().send_task_message

        def send_task_message(producer: Any, name: str, message: Any, *args: Any, **options: Any) -> Any:
            facts = message.headers or message.body  # protocol 2, or protocol 1
            if published := watched_for(facts.get("id", "")):
                queue = options.get("queue") or cast(Any, self).default_queue
                published.queue = str(getattr(queue, "name", queue))
                published.headers, published.properties = facts, message.properties
            return send(producer, name, message, *args, **options)

        return send_task_message


def is_receipt(delivery_tag: str) -> bool:
    """Return whether the tag is the receipt of a message that a worker holds. A broadcast's is not."""
    return "/" in delivery_tag


def running_receipts() -> set[str]:
    """Return the receipts of the messages whose jobs run in this worker, on any channel, open or closed."""
    return {request.message.delivery_tag for request in tuple(worker_state.active_requests)}


def _due_ms(headers: dict[str, Any]) -> int | None:
    """Return when a message that is being published is due, in ms. Without a valid `eta`, return None."""
    try:
        return time_ms(headers, "eta")
    except InvalidMessage:
        return None


def _delayed(publication: Publication) -> ScriptCall[Any]:
    return put_later(publication.queue, publication.list_key, publication.message, publication.due_ms or 0)
