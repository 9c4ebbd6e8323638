"""Keeps the messages that a worker holds from being delivered to another, however long their jobs take.

kombu's Redis transport gives a message to another worker once `visibility_timeout` has passed since its delivery,
whether or not its worker lives (kombu/transport/redis.py, `QoS.restore_visible`). This bootstep renews that time for
every message the worker still holds, from a thread of its own, since a job may block the worker's loop. So the
timeout can be short, and a worker that vanished is replaced within it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from celery.worker import state
from redis.exceptions import RedisError

log = logging.getLogger("celeriac.engine")

#: kombu's own default, should an application have unset ours.
_STOCK_TIMEOUT = 3600


class LeaseRenewal(bootsteps.StartStopStep):
    """Consumer bootstep: renews while the consumer is connected, and brings back what vanished workers held."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stop = threading.Event()

    def start(self, parent: Any) -> None:
        lease = float(parent.app.conf.broker_transport_options.get("visibility_timeout", _STOCK_TIMEOUT))
        self._stop = threading.Event()
        threading.Thread(
            target=self._serve, args=(parent, lease / 3, self._stop), name="celeriac-lease", daemon=True
        ).start()

    def stop(self, parent: Any) -> None:
        self._stop.set()

    shutdown = stop

    def _serve(self, consumer: Any, every: float, stop: threading.Event) -> None:
        while not stop.wait(every):
            try:
                with consumer.app.connection_for_write() as connection:
                    channel: Any = connection.default_channel
                    renew(channel, held_tags(consumer))
                    channel.qos.restore_visible(num=channel.unacked_restore_limit, interval=1)
            except (RedisError, OSError) as error:
                log.warning("leases were not renewed (%s); trying again in %.1f s", type(error).__name__, every)


def renew(channel: Any, tags: set[str]) -> None:
    """Make `tags` as young as if they had been delivered now; those that were acknowledged stay gone."""
    if tags:
        channel.client.zadd(channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)


def held_tags(consumer: Any) -> set[str]:
    """Delivery tags of the messages this worker holds.

    Those of its channel, delayed ones included; and those of jobs that outlived the channel they came on, whose
    messages are acknowledged nowhere until they end.
    """
    tasks = consumer.task_consumer
    delivered: set[str] = set(tasks.channel.qos._delivered) if tasks else set()
    requests: list[Any] = [*state.reserved_requests, *state.active_requests]
    return delivered | {request.message.delivery_tag for request in requests}
