"""Settings as users write them down for Celery: a module, classes, an object, names with a prefix, and old ones."""

from types import SimpleNamespace

SETTINGS = {
    "task_default_queue": "own",
    "worker_prefetch_multiplier": 4,
    "task_acks_late": False,
    "timezone": "Asia/Tokyo",
}

task_default_queue = "own"
worker_prefetch_multiplier = 4
task_acks_late = False
timezone = "Asia/Tokyo"


class Own:
    """A class whose attributes are settings."""

    task_default_queue = "own"
    worker_prefetch_multiplier = 4
    task_acks_late = False
    timezone = "Asia/Tokyo"


INSTANCE = SimpleNamespace(**SETTINGS)
PREFIXED = {f"SHOP_{name.upper()}": value for name, value in SETTINGS.items()}
OLD = {
    "CELERY_DEFAULT_QUEUE": "own",
    "CELERYD_PREFETCH_MULTIPLIER": 4,
    "CELERY_ACKS_LATE": False,
    "CELERY_TIMEZONE": "Asia/Tokyo",
}
