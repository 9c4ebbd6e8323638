"""How Celery publishes what follows from a task: with the task's acknowledgement, and without asking the broker."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from kombu.messaging import Producer

from celeriac.engine import bridge
from celeriac.engine.aio import endings


class FollowingProducer(Producer):
    """For messages that the transport only notes down, to be written later. All others go by the application's pool.

    From that Celery takes another producer for each message, which looks after its connection, declares the queue, and
    makes ready to try again: all for nothing if nothing is sent.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app.connection_for_write())
        self._app = app
        self._is_ready = False
        self._known: set[Any] = set()  # queues that are declared

    def publish(  # pyright: ignore[reportIncompatibleMethodOverride] (Celery names all that it gives)
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
        """Have a channel, and the queues. Waits for the broker."""
        self._is_ready = self.channel is not None
        for entity in entities:
            with self._app.producer_or_acquire() as producer:
                producer.maybe_declare(entity, retry=True, **policy)
            if entity.can_cache_declaration:
                self._known.add(entity)


@functools.cache
def producer_of(app: Any) -> FollowingProducer:
    """The one of this process."""
    return FollowingProducer(app)
