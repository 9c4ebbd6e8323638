"""The team's config module, on Celeriac: what changes is at the end."""

import os

from celeriac import celery_settings
from tests.support.plain_config import *  # noqa: F403
from tests.support.plain_config import broker_url

globals().update(celery_settings(broker_url, os.environ.get("PLAIN_RESULTS"), lease=2))
