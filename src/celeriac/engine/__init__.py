"""Celery behind Celeriac: the only package that imports celery and kombu."""

import celery
import kombu

from celeriac.engine import requirements

requirements.check(celery=celery.__version__, kombu=kombu.__version__)
