"""Writes job records from blocking code, and tries again while the broker is absent."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from celeriac.core.errors import BrokerUnavailable
from celeriac.core.timing import BLOCKING_RETRY_PAUSE_S
from celeriac.engine import bridge
from celeriac.engine.aio import endings
from celeriac.store.redis.connection import BlockingClient, connect_blocking, unavailable
from celeriac.store.redis.errors import RedisError
from celeriac.store.redis.runner import run_blocking
from celeriac.store.scripts.script import ScriptCall

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: How long one command may take before it is tried again.
_COMMAND_TIMEOUT_S = 5.0


class Records:
    """Runs script calls from code without an event loop, with one connection pool for each process."""

    def __init__(self, broker_url: Callable[[], str]) -> None:
        self._broker_url = broker_url
        self._lock = threading.Lock()
        self._pid = 0
        self._client: BlockingClient | None = None

    def run(self, call: ScriptCall[T], *, patience: float) -> T:
        """Run `call`. While the broker is absent, try again for up to `patience` seconds.

        Raises:
            BrokerUnavailable: the broker stayed absent.
        """
        if bridge.can_wait():
            return endings.run(lambda: self.client, call)
        give_up = time.monotonic() + patience
        while True:
            try:
                return run_blocking(self.client, call)
            except RedisError as error:
                problem = unavailable(error, _COMMAND_TIMEOUT_S)
                if time.monotonic() >= give_up:
                    raise problem from error
                log.warning("%s; trying again", problem)
                time.sleep(BLOCKING_RETRY_PAUSE_S)

    def try_run(self, call: ScriptCall[T]) -> T | None:
        """Run `call` once. If the broker is absent, log a warning and return None."""
        try:
            return self.run(call, patience=0)
        except BrokerUnavailable as error:
            log.warning("a job record was not written: %s", error)
            return None

    @property
    def client(self) -> BlockingClient:
        """This process's client. A forked child makes its own, because connections must not be shared."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client = connect_blocking(self._broker_url(), timeout=_COMMAND_TIMEOUT_S)
                self._pid = os.getpid()
            return self._client

    def close(self) -> None:
        """Close this process's connections. The next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
