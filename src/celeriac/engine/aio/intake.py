"""Stands between the broker's queues and Celery's message handler, and keeps the messages that this worker holds."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

from celery.worker import state as worker_state

from celeriac.core.background import background
from celeriac.core.inbound import Arrival
from celeriac.core.records import Failure
from celeriac.engine.aio import endings
from celeriac.engine.aio.beginnings import Beginnings
from celeriac.engine.aio.endings import Delivery, Endings
from celeriac.engine.aio.fetching import Fetcher
from celeriac.engine.aio.slots import Slots
from celeriac.engine.aio.suspects import Suspects, is_suspect
from celeriac.engine.causes import Cause, note, take_note
from celeriac.engine.lease import Lease
from celeriac.engine.messages import Message
from celeriac.store.messages.dead_letters import give_up
from celeriac.store.messages.taking import Source
from celeriac.store.messages.worker_leases import held_by, renew
from celeriac.store.redis.connection import Client
from celeriac.store.redis.errors import RedisError
from celeriac.store.redis.pipeline import Pipeline

log = logging.getLogger("celeriac.engine")


class Intake:
    """Delivers messages to Celery, and passes their ends on to the broker.

    It also stands in for kombu's channel, as far as the delivered messages need one. All methods without an
    underscore may be called from any thread.
    """

    no_ack_consumers = None

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: Client,
        lease: Lease,
        *,
        capacity: Callable[[], int],
        threads: Slots,
        shown: str = "",
        order: Any = None,
    ) -> None:
        """`capacity` returns how many messages the worker may hold now. `Fetcher` explains `shown` and `order`."""
        self.pipeline = Pipeline(client)
        self._beginnings = Beginnings(self.pipeline)
        self._loop = loop
        self._thread_id = 0
        self._capacity = capacity
        self._threads = threads
        self.handle: Callable[[Any], None] | None = None  # Celery's message handler, while its consumer runs
        self.accept: Collection[str] | None = None  # content types; None means those that kombu trusts
        self._held: dict[str, Delivery] = {}
        self._client = client
        self._worker = lease.worker
        self._lease_ms = lease.hold.lease_ms
        self._suspects = Suspects()
        self._beginning: asyncio.Task[None] | None = None
        lease.on_lost = lambda: self._on_loop(self._look_for_lost_soon)
        self._endings = Endings(self.pipeline, lease.worker, self._on_ended)
        self._fetcher = Fetcher(
            client,
            self.pipeline,
            lease,
            room=self._room,
            is_full=self._is_full,
            deliver=self._deliver,
            shown=shown,
            order=order,
        )
        self._fetching: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        self._on_loop(self._start)

    def add(self, sources: Sequence[Source]) -> None:
        """Start to take messages of queues, of all at the same time."""
        self._on_loop(self._add, sources)

    def remove(self, queue: str) -> None:
        """Stop taking messages of a queue."""
        self._on_loop(self._fetcher.remove, queue)

    def close(self) -> None:
        """Stop taking messages. One that still arrives goes back to its queue."""
        self._on_loop(self._close)

    @property
    def has_ended(self) -> bool:
        """Whether the fetcher has died, without a call of `close`."""
        return self._fetching is not None and self._fetching.done() and not self._closed

    async def written(self) -> None:
        """Wait until the ends of all messages are written. What has begun and never ran goes back to its queue."""
        await self._fetcher.aclose()  # first, because its pending calls would also be waited for
        for delivery in reversed(self._held.values()):  # the oldest last, so that it is the first of its queue
            if delivery.is_open and delivery.has_begun:
                self._endings.give_back(delivery, "first")
        await self._endings.written()

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message, as kombu's channel does."""
        self._on_loop(self._acknowledge, delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or make it a dead letter, as Celery decides with `requeue`."""
        self._on_loop(self._give_back if requeue else self._give_up, delivery_tag)

    def postpone(self, receipt: str) -> None:
        """Give a message back to the front of its queue, because there is no slot for its task."""
        delivery = self._open(receipt)
        if delivery is not None:
            self._endings.give_back(delivery, "first")

    def put_off(self, receipt: str, due_ms: int, *, limited: str = "") -> None:
        """Give a message back until it is due, and let others go first. `limited` names a task over its rate limit."""
        delivery = self._open(receipt)
        if delivery is not None:
            self._endings.put_off(delivery, due_ms, limited=limited)

    def run_later(self, receipt: str, seconds: float, reason: Failure) -> None:
        """Give back the message of a job that runs, and record that it waits."""
        delivery = self._open(receipt)
        if delivery is not None:
            self._endings.run_later(delivery, seconds, reason)

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        if threading.get_ident() == self._thread_id:
            function(*args)
        else:
            self._loop.call_soon_threadsafe(function, *args)

    def _add(self, sources: Sequence[Source]) -> None:
        for source in sources:
            self._fetcher.add(source)

    def _start(self) -> None:
        self._thread_id = threading.get_ident()
        self._fetching = background(self._fetcher.serve(), name="celeriac-fetcher")

    def _close(self) -> None:
        self._closed = True
        self.handle = None
        if self._fetching is not None:
            self._fetching.cancel()

    def _is_full(self) -> bool:
        return len(self._held) >= self._capacity()

    def _room(self) -> int:
        """Return how many more messages to take: few while no thread is free, since other workers may have one."""
        room = self._capacity() - len(self._held)
        return room if self._threads.free else min(room, self._threads.room_to_wait)

    def _deliver(self, receipt: str, queue: str, arrival: Arrival, has_begun: bool) -> None:
        delivery = self._held[receipt] = Delivery(
            receipt, queue, arrival.task_id, self.pipeline, self._beginnings, has_begun=has_begun
        )
        if not is_suspect(arrival):
            self._hand_over(delivery, arrival)
        elif self._suspects.admits(receipt):
            self._beginning = background(self._hand_over_alone(delivery, arrival), name="celeriac-suspect")
        else:
            self._endings.put_off(delivery, self._suspects.comeback_ms())

    async def _hand_over_alone(self, delivery: Delivery, arrival: Arrival) -> None:
        """Hand a suspect over, after the server has taken back the other suspects that came with it.

        If the suspect ends this worker, the others must not be in its hold.
        """
        try:
            # The pipeline keeps its order, so this reply comes after those calls were carried out.
            await self.pipeline.run(renew(self._worker, self._lease_ms))
        except RedisError:
            log.exception("a message that was lost with other workers cannot be handed over; it goes back to its queue")
            self._endings.give_back(delivery, "last")
        if delivery.is_open:
            self._hand_over(delivery, arrival)

    def _hand_over(self, delivery: Delivery, arrival: Arrival) -> None:
        if self.handle is None:
            self._endings.give_back(delivery, "first")
            return
        token = endings.current.set(delivery)  # the asyncio task that runs the message inherits it
        try:
            message = Message(arrival, self)
            message.accepts(self.accept)
            self.handle(message)
        except Exception as error:
            log.exception("message %s cannot be handled", delivery.receipt)
            note(delivery.receipt, Cause.of(error))
            self._give_up(delivery.receipt)
        finally:
            endings.current.reset(token)

    def _acknowledge(self, receipt: str) -> None:
        take_note(receipt)
        delivery = self._open(receipt)
        if delivery is not None:
            self._endings.finish(delivery)

    def _give_back(self, receipt: str) -> None:
        cause = take_note(receipt)
        delivery = self._open(receipt)
        if delivery is not None:
            self._endings.give_back(delivery, "last", lost=cause.lost)

    def _give_up(self, receipt: str) -> None:
        cause = take_note(receipt)
        delivery = self._open(receipt)
        if delivery is None:
            return
        delivery.before.append(give_up(self._worker, receipt, cause.text, end=cause.end))
        delivery.ending.receipt = ""  # `give_up` has acknowledged it
        log.error("message %s is a dead letter now (%s); see `celeriac dead`", receipt, cause.text)
        self._endings.finish(delivery)

    def _open(self, receipt: str) -> Delivery | None:
        """Return the delivery, or None if its end was decided before."""
        delivery = self._held.get(receipt)
        return delivery if delivery is not None and delivery.is_open else None

    def _look_for_lost_soon(self) -> None:
        self._looking = background(self._look_for_lost(), name="celeriac-lost")

    async def _look_for_lost(self) -> None:
        """Stop the tasks whose messages other workers have now, because they run again there."""
        known = [delivery for delivery in self._held.values() if delivery.is_open]
        try:
            held = await held_by(self._client, self._worker)
        except RedisError:  # they run on, and the broker refuses their outcomes
            return
        lost = {delivery.receipt: delivery for delivery in known if delivery.is_open and delivery.receipt not in held}
        for receipt, delivery in lost.items():
            delivery.is_open = False
            self._on_ended(receipt)
            if delivery.abandon is not None:
                delivery.abandon()
        for request in tuple(worker_state.requests.values()):
            if request.message.delivery_tag in lost:
                worker_state.task_ready(request)  # no callback of an abandoned task does this

    def _on_ended(self, receipt: str) -> None:
        self._held.pop(receipt, None)
        self._suspects.ended(receipt)
        self._fetcher.changed.set()
