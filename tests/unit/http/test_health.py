"""What `/health/ready` knows of job families."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from celeriac.core.findings import Finding
from celeriac.http import health
from tests.support.waiting import eventually


async def test_a_check_that_never_ends_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(health, "_FRESH_S", 0.01)
    watch = health._Watch({"stuck": stuck})

    async def has_failed() -> bool:
        return await watch.look() == {"stuck": "fail"}

    await eventually(has_failed)
