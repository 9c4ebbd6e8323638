"""Asks the workers of an application whether they run."""

from __future__ import annotations

from typing import Any

from kombu.exceptions import OperationalError

from celeriac.core.errors import BrokerUnavailable


def answering_worker(app: Any, *, within: float) -> str | None:
    """Return the name of the worker that answers first; None if none does in `within` seconds. Blocks.

    Raises:
        BrokerUnavailable: the application cannot reach its broker.
    """
    try:
        replies: list[dict[str, Any]] = app.control.broadcast("ping", reply=True, timeout=within, limit=1) or []
    except OperationalError as error:
        raise BrokerUnavailable(f"the application cannot reach its broker: {error}") from error
    return next((name for reply in replies for name in reply), None)


def runs_task(app: Any, worker: str, task: str, *, within: float) -> bool:
    """Return whether the worker answers, within `within` seconds, that it runs tasks of that name. Blocks."""
    registered: dict[str, list[str]] = app.control.inspect([worker], timeout=within).registered() or {}
    return any(each.partition(" ")[0] == task for each in registered.get(worker, ()))
