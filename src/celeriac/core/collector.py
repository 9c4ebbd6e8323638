"""Controls the garbage collector during imports and before forks."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def paused() -> Generator[None]:
    """Pause the collector while many modules are imported.

    Imports make many objects and little garbage. Collections took a sixth of a worker's start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def freeze() -> None:
    """Exclude all current objects from collection, which would write to memory that forked processes share.

    Imports leave little garbage, and a collection before the fork would take up to 40 ms.
    """
    gc.freeze()
