"""Flower reads this file when it is started here, by `celery -A src.celery_tasks.c_app flower` say.

It makes Flower listen on 127.0.0.1, and off loopback ask for a password; see CELERIAC_HOST, CELERIAC_FLOWER_PORT
and CELERIAC_FLOWER_AUTH. Options given to Flower itself win.
"""

import sys

from tornado.options import options as given

from celeriac.core.errors import ConfigurationError
from celeriac.launch.programs.flower import flower_options
from celeriac.settings import load_settings

_FLOWERS_DEFAULT_PORT = 5555

try:
    _options = flower_options(
        load_settings(
            host=given.address or None,
            flower_port=given.port if given.port != _FLOWERS_DEFAULT_PORT else None,
        ),
        basic_auth=given.basic_auth or (),
    )
except ConfigurationError as _error:
    sys.exit(f"celeriac: error: {_error}")

address = _options.address
port = _options.port
basic_auth = list(_options.basic_auth)
