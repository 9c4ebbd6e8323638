"""The team's config module, on stock Celery."""

import os

broker_url = os.environ["PLAIN_URL"]
result_backend = os.environ["PLAIN_URL"]
broker_transport_options = {"visibility_timeout": 43_200}
task_default_queue = "orders"
task_routes = {"orders.silent": {"queue": "quiet"}}
result_expires = 3600
result_extended = True
task_acks_late = True
worker_prefetch_multiplier = 1
worker_hijack_root_logger = True
beat_schedule = {"every": {"task": "orders.every", "schedule": 0.5, "args": ["beat"]}}
