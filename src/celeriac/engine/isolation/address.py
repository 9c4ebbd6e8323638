"""Finds the address from which a new process can import an application."""

from __future__ import annotations

import sys

from celeriac.core.errors import ConfigurationError

#: Modules that may refer to an application without defining it.
_NOT_THEIRS = ("__main__", "__mp_main__", "celery")


def address_of(app: object, *, beside: tuple[str, ...] = ()) -> str:
    """Find `module:attribute` of the application, as `celery -A` takes it.

    Modules whose last name begins with one of `beside` do not count.

    Raises:
        ConfigurationError: no importable module has the application as a variable.
    """
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] in _NOT_THEIRS or name.rpartition(".")[2].startswith(beside):
            continue
        for attribute, value in tuple(getattr(module, "__dict__", {}).items()):
            if value is app:
                return f"{name}:{attribute}"
    raise ConfigurationError(
        "an isolated job's process cannot import the application, because no module other than the main program has it "
        "as a variable; assign it in a module, and start the worker with `-A module`"
    )
