"""Publishes the follow-ups of a task (links, the next step of a chain) together with its acknowledgement."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from kombu.messaging import Producer

from celeriac.engine import bridge
from celeriac.engine.aio import endings


class FollowingProducer(Producer):
    """A producer for messages that the transport collects for later. It sends all others through the app's pool.

    Celery takes a producer from that pool for each message, which checks the connection, declares the queue and
    prepares retries. None of that is needed when nothing is sent yet.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app.connection_for_write())
        self._app = app
        self._is_ready = False
        self._known: set[Any] = set()  # the queues declared so far

    def publish(  # pyright: ignore[reportIncompatibleMethodOverride] (Celery passes all by name)
        self, body: Any, *, exchange: Any = None, declare: Sequence[Any] | None = None, **options: Any
    ) -> Any:
        if exchange or endings.to_be_written() is None:
            with self._app.producer_or_acquire() as producer:
                return producer.publish(body, exchange=exchange, declare=declare, **options)
        unknown = [entity for entity in declare or () if entity not in self._known]
        if unknown or not self._is_ready:
            bridge.blocking(self._make_ready, unknown, options.get("retry_policy") or {})
        return super().publish(body, **{**options, "retry": False})

    def _make_ready(self, entities: Sequence[Any], policy: dict[str, Any]) -> None:
        """Open a channel and declare the queues. Blocks while the broker is absent."""
        self._is_ready = self.channel is not None
        for entity in entities:
            with self._app.producer_or_acquire() as producer:
                producer.maybe_declare(entity, retry=True, **policy)
            if entity.can_cache_declaration:
                self._known.add(entity)


@functools.cache
def producer_of(app: Any) -> FollowingProducer:
    """Return the process's one producer for the application."""
    return FollowingProducer(app)
