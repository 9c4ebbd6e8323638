"""What the events of the benchmark of webhooks contain: some 300 bytes, and when they were sent."""

from __future__ import annotations

import time
from typing import Any


def payload(number: int) -> dict[str, Any]:
    """Make the payload of one event. Call it when the event is sent."""
    items = [{"sku": f"A-{number}-{item}", "count": item, "cents": 100 * item} for item in range(1, 5)]
    return {"order": number, "customer": "Ada Lovelace", "items": items, "sent": time.monotonic_ns()}
