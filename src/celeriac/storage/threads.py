"""Calls obstore in threads of our own.

Its asynchronous functions hand their answers over in threads of its native runtime, for which nobody can wait. When
the interpreter ends meanwhile, Python ends such a thread in the middle of native code, and the process dies with
SIGABRT: after one short command in six. For the threads of a pool, the interpreter waits before it ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

T = TypeVar("T")

#: Calls at a time; others wait. A bucket takes about 50 ms for each, and a part of a large file takes a second.
_MOST_THREADS = 64


def in_thread(call: Callable[..., T], *arguments: Any, **options: Any) -> asyncio.Future[T]:
    """Call it, and tell what it returns. One that has begun goes on when nobody awaits it any more."""
    return asyncio.get_running_loop().run_in_executor(_pool(), partial(call, *arguments, **options))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="celeriac-storage")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of its parent's threads
