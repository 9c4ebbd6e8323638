"""Reading messages as kombu writes them into its lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from celeriac.core.clock import to_ms


def read(message: bytes, receipt: str) -> tuple[dict[str, Any], int | None]:
    """The message as kombu takes it, delivered under `receipt`, and when it is due (ms since the epoch).

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it cannot be read.
    """
    payload = orjson.loads(message)
    properties, headers = payload["properties"], payload.get("headers") or {}
    due = due_ms(headers)
    headers.pop("eta", None)  # by the time it is handed over it is due; Celery would hold it in a timer again
    losses = payload.pop("celeriac-redelivered", None)
    if losses is not None:
        properties.setdefault("delivery_info", {}).update(redelivered=True, celeriac_losses=int(losses))
    properties["delivery_tag"] = receipt
    return payload, due


def due_ms(headers: dict[str, Any]) -> int | None:
    """When a task's message is due (ms since the epoch); None for at once."""
    eta = headers.get("eta")
    if not isinstance(eta, str):
        return None
    try:
        due = datetime.fromisoformat(eta)
    except ValueError:  # Celery rejects it, and says so
        return None
    return to_ms(due if due.tzinfo else due.replace(tzinfo=UTC))
