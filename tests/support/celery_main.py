"""What a test's worker is started with: `celery -A tests.support.celery_main worker`.

The application is made by the `create` function of the module that TEST_APPLICATION names, from the environment's
settings.
"""

import os
from importlib import import_module

from celeriac import load_settings

app = import_module(os.environ["TEST_APPLICATION"]).create(load_settings()).app
