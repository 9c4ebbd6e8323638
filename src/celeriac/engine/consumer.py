"""Celery's consumer with Celeriac's steps, for the setting `worker_consumer`.

A setting, unlike `app.steps`, can be made by an application that is a plain `celery.Celery`.
"""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import consumer as celery_consumer

from celeriac.engine import process, steps


class Consumer(celery_consumer.Consumer):
    """What runs in a worker between its pool and the broker."""

    class Blueprint(celery_consumer.Consumer.Blueprint):
        """Celery's steps and ours."""

        default_steps = (*celery_consumer.Consumer.Blueprint.default_steps, steps.Hold, steps.PoolCheck)

    def __init__(self, *args: Any, **options: Any) -> None:
        process.install()  # made before the pool starts, so that the pool's processes have the hooks
        super().__init__(*args, **options)
