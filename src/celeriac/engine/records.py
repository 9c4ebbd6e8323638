"""Job records as the worker writes them: blocking calls that outlast an absent broker."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import RedisError

from celeriac.core.errors import BrokerUnavailable
from celeriac.engine import bridge
from celeriac.engine.aio import endings
from celeriac.store.connection import BlockingClient, connect_blocking, unavailable
from celeriac.store.script import ScriptCall, run_blocking

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: Seconds that one command may take before it is tried again.
_COMMAND_TIMEOUT = 5.0
_RETRY_DELAY = 0.25


class Records:
    """Runs script calls from code without an event loop; one connection pool for each process."""

    def __init__(self, broker_url: Callable[[], str]) -> None:
        self._broker_url = broker_url
        self._lock = threading.Lock()
        self._pid = 0
        self._client: BlockingClient | None = None

    def run(self, call: ScriptCall[T], *, patience: float) -> T:
        """Run `call`; while the broker is absent, try again for up to `patience` seconds.

        Raises:
            BrokerUnavailable: it stayed absent.
        """
        if bridge.can_wait():
            return endings.run(lambda: self.client, call)
        give_up = time.monotonic() + patience
        while True:
            try:
                return run_blocking(self.client, call)
            except RedisError as error:
                problem = unavailable(error, _COMMAND_TIMEOUT)
                if time.monotonic() >= give_up:
                    raise problem from error
                log.warning("%s; trying again", problem)
                time.sleep(_RETRY_DELAY)

    def try_run(self, call: ScriptCall[T]) -> T | None:
        """Run `call` once; None, and a line in the log, if the broker is absent."""
        try:
            return self.run(call, patience=0)
        except BrokerUnavailable as error:
            log.warning("a job record was not written: %s", error)
            return None

    @property
    def client(self) -> BlockingClient:
        """This process's client: connections must not be shared with a forked child."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client = connect_blocking(self._broker_url(), timeout=_COMMAND_TIMEOUT)
                self._pid = os.getpid()
            return self._client

    def close(self) -> None:
        """Close this process's connections; they are made anew if needed."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
