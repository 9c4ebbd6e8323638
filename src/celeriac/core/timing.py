"""Pauses between two tries of what fails while a server is away, from the shortest to the longest."""

from __future__ import annotations

#: On an event loop, where messages or calls of many jobs wait.
RETRY_PAUSE_S = 0.1
#: Before a listener connects again. Nobody depends on it: each waiter also looks for itself.
RECONNECT_PAUSE_S = 0.2
#: In a thread that waits for the permit or the end of one job. Each try logs a line.
BLOCKING_RETRY_PAUSE_S = 0.25
#: For rare calls that are tried for long: fan-outs, retries, and outcomes on another server.
PATIENT_RETRY_PAUSE_S = 0.5
