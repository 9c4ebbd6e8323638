"""The garbage collector, during imports and before forks."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def paused() -> Generator[None]:
    """Collect nothing while many modules are imported.

    Imports make many objects and little garbage: collections took a sixth of a worker's start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def freeze() -> None:
    """Keep the collector away from all objects of now: it would write to the memory that forked processes share."""
    gc.collect()
    gc.freeze()
