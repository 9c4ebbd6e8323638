"""The address that Celery's commands take: `celery -A src.celery_tasks.c_app worker`."""

from celeriac.worker import c_app

__all__ = ["c_app"]
