"""Shows on a terminal how far a report is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp

_BAR = 30


async def watch(application: JobApp, job_id: str) -> None:
    """Show the job's progress on a terminal until it has ended."""
    async for event in application.client.events(job_id):
        if event is None or event.name != "progress" or not sys.stderr.isatty():
            continue
        done, total = event.data["done"], event.data["total"]
        share = min(1.0, done / total) if total else 0.0
        bar = ("█" * round(share * _BAR)).ljust(_BAR, "·") if total else "·" * _BAR
        shown = f"{share:4.0%}" if total else f"{done:,.0f} rows"
        sys.stderr.write(f"\r{bar} {event.data['message']:<12} {shown:<15}")
        sys.stderr.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
