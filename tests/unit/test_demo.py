"""The live view of a job in a demo."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator

import httpx2
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from rich.console import Console

from celeriac.demo import follow


async def test_a_job_that_takes_several_steps_for_an_item_is_shown_by_items() -> None:
    api = FastAPI()

    @api.get("/jobs/one/events")
    async def events() -> StreamingResponse:
        async def told() -> AsyncGenerator[str]:
            yield 'event: progress\ndata: {"done": 300, "total": 400, "message": "pdf"}\n\n'
            yield 'event: state\ndata: {"state": "failed", "error": "it stops here"}\n\n'

        return StreamingResponse(told(), media_type="text/event-stream")

    shown = io.StringIO()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api), base_url="http://api") as client:
        try:
            await follow(client, "one", Console(file=shown, force_terminal=True), doing="reporting", total=100)
        except Exception as error:
            assert "it stops here" in str(error)
    assert "75/100" in shown.getvalue()
