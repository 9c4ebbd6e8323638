"""Connects Celery's consumer to the asyncio worker: the intake takes the messages, Celery does everything else."""

from __future__ import annotations

import threading
from typing import Any, cast

from celery import bootsteps
from celery.worker.consumer import tasks as celery_tasks
from kombu.messaging import Consumer as KombuConsumer
from kombu.utils.scheduling import cycle_by_name

from celeriac.engine.aio.intake import Intake
from celeriac.engine.aio.pool import Pool
from celeriac.engine.loop import job_loop
from celeriac.engine.revocations import Revocations
from celeriac.engine.transport import Channel
from celeriac.store.messages.taking import Source
from celeriac.store.redis.connection import connect

#: How long connecting to the broker may take.
_CONNECT_TIMEOUT_S = 2.5
#: The most connections. Each priority list of each queue needs one to wait on.
_CONNECTIONS = 1000


class TaskConsumer(KombuConsumer):
    """Kombu's consumer, whose messages the intake takes. Broadcasts still come over kombu's channel."""

    channel: Channel

    def __init__(self, *args: Any, intake: Intake, **options: Any) -> None:
        self._intake = intake
        self._new_sources: list[Source] = []
        super().__init__(*args, **options)

    def _basic_consume(self, queue: Any, consumer_tag: Any = None, no_ack: Any = None, nowait: bool = True) -> Any:
        if queue.exchange.type == "fanout":
            tag = super()._basic_consume(queue, consumer_tag, no_ack, nowait)
        else:
            tag = self._active_tags.get(queue.name) or self._begin(queue, consumer_tag)
        if not nowait:  # kombu says so of the last queue: with all of them, the first message is in their order
            self._intake.add(self._new_sources)
            self._new_sources = []
        return tag

    def _begin(self, queue: Any, consumer_tag: Any) -> Any:
        self._intake.handle, self._intake.accept = self.on_message, self.accept
        self._new_sources.append(self.channel.source(queue.name, held=not queue.no_ack))
        return self._add_tag(queue, consumer_tag)

    def cancel(self) -> None:
        for name in list(self._active_tags):
            self._stop_taking(name)
        super().cancel()

    close = cancel

    def cancel_by_queue(self, queue: Any) -> None:
        self._stop_taking(queue if isinstance(queue, str) else queue.name)
        super().cancel_by_queue(queue)

    def _stop_taking(self, name: str) -> None:
        queue = cast("dict[str, Any]", self._queues).get(name)
        if queue is not None and queue.exchange.type != "fanout":
            self._active_tags.pop(name, None)
            self._intake.remove(name)


class Fetching(bootsteps.StartStopStep):
    """Replaces the consumer that Celery has just made by one of the intake's, if the pool is the asyncio pool."""

    requires = (celery_tasks.Tasks, Revocations)

    def start(self, parent: Any) -> None:
        _guard(parent)
        if not isinstance(parent.pool, Pool):
            return
        if parent.pool.intake is None:
            parent.pool.intake = _new_intake(parent, parent.pool)
        kombus = parent.task_consumer
        parent.task_consumer = TaskConsumer(
            kombus.channel,
            queues=kombus.queues,
            accept=parent.app.conf.accept_content,
            on_decode_error=parent.on_decode_error,
            intake=parent.pool.intake,
        )


def _guard(consumer: Any) -> None:
    """Watch the threads that the worker of any pool needs. Celery calls this again after each lost connection."""
    channel, blueprint = consumer.connection.default_channel, consumer.controller.blueprint
    if isinstance(channel, Channel):  # Celeriac's transport, and not `memory://`, for example
        consumer.guard.watch("the thread that renews the lease", lambda: channel.lease.has_ended)
    consumer.guard.watch("the event loop of the jobs", lambda: job_loop().has_ended)
    consumer.guard.watch(
        "Celery's main thread",  # without it, threads that run jobs would keep the process alive
        lambda: not threading.main_thread().is_alive() and not blueprint.shutdown_complete.is_set(),
    )
    consumer.guard.start()


def _new_intake(consumer: Any, pool: Pool) -> Intake:
    channel: Channel = consumer.connection.default_channel
    url = str(consumer.app.conf.broker_read_url or consumer.app.conf.broker_url)
    order: Any = cycle_by_name(channel.queue_order_strategy)
    intake = Intake(
        pool.loop,
        connect(url, timeout=_CONNECT_TIMEOUT_S, max_connections=_CONNECTIONS),
        channel.lease,
        capacity=lambda: pool.capacity,
        threads=pool.threads,
        # A plain application keeps no records, so there is nothing to begin.
        shown=consumer.hostname if getattr(consumer.app, "keeps_job_records", False) else "",
        order=order(),
    )
    consumer.guard.watch("the fetcher of messages", lambda: intake.has_ended)
    return intake
