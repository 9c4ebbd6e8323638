"""The live view of a job in a demo, while the API comes and goes."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from rich.console import Console

from celeriac import demo
from celeriac.demo import DemoFailed, follow
from tests.support.api_server import NO_TLS, serving


async def test_a_stream_that_breaks_is_resumed_after_the_last_event() -> None:
    api, resumed = FastAPI(), list[str | None]()

    @api.get("/jobs/one/events")
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
        resumed.append(last_event_id)
        if len(resumed) == 2:
            raise HTTPException(503)

        async def told() -> AsyncGenerator[str]:
            if last_event_id is None:
                yield 'event: progress\ndata: {"done": 30, "total": 100}\nid: 1-0\n\n'
                raise OSError("the API is killed")
            yield 'event: state\ndata: {"state": "succeeded"}\nid: 2-0\n\n'

        return StreamingResponse(told(), media_type="text/event-stream")

    shown = io.StringIO()
    with serving(api) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url) as client:
            await follow(client, "one", Console(file=shown, force_terminal=True), doing="sending", total=100)
    assert resumed == [None, "1-0", "1-0"]
    assert "100/100" in shown.getvalue() and "the job's events broke off" in shown.getvalue()


async def test_a_stream_that_stays_broken_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE_S", 0.1)
    async with httpx2.AsyncClient(verify=NO_TLS, base_url="http://127.0.0.1:1") as client:
        with pytest.raises(DemoFailed, match="the job's events cannot be read: ConnectError"):
            await follow(client, "one", Console(file=io.StringIO()), doing="sending", total=100)
