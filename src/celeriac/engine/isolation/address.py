"""Where a new process can import an application from."""

from __future__ import annotations

import sys

from celeriac.core.errors import ConfigurationError

#: Modules that hold an application without being where it is from.
_NOT_THEIRS = ("__main__", "__mp_main__", "celery")


def address_of(app: object, *, beside: tuple[str, ...] = ()) -> str:
    """`module:attribute` of the application, as `celery -A` takes it; not in modules whose names begin with `beside`.

    Raises:
        ConfigurationError: no module that can be imported has it.
    """
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] in _NOT_THEIRS or name.rpartition(".")[2].startswith(beside):
            continue
        for attribute, value in tuple(getattr(module, "__dict__", {}).items()):
            if value is app:
                return f"{name}:{attribute}"
    raise ConfigurationError(
        "an isolated job's process cannot import the application: no module has it as a variable, or only the program "
        "itself; assign it in a module, and start the worker with `-A module`"
    )
