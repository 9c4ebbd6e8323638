"""A client of the job API as its users write it: plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx2

from tests.support.waiting import eventually

MEMBERS = {"type", "title", "status", "detail"}


class JobsClient:
    """The job API under `prefix`."""

    def __init__(self, http: httpx2.AsyncClient, prefix: str = "/jobs") -> None:
        self.http = http
        self._prefix = prefix

    async def submit(self, task: str, arguments: Any = None, **headers: str) -> dict[str, Any]:
        """Submit a job and return the view of it."""
        answer = await self.http.post(f"{self._prefix}/{task}", json=arguments or {}, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.http.get(f"{self._prefix}{path}", **options)

    async def post(self, path: str, **options: Any) -> httpx2.Response:
        return await self.http.post(f"{self._prefix}{path}", **options)

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.get(f"/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def reached(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job's view, once it is in one of the states."""

        async def look() -> dict[str, Any] | None:
            view = await self.job(job_id)
            return view if view["state"] in states else None

        return await eventually(look, f"{job_id} is {' or '.join(states)}")

    async def finished(self, job_id: str) -> dict[str, Any]:
        return await self.reached(job_id, "succeeded", "failed", "cancelled", "dead")

    async def events(self, job_id: str, after: str | None = None) -> AsyncGenerator[httpx2.ServerSentEvent]:
        """The events of one stream, to its end."""
        headers = {} if after is None else {"Last-Event-ID": after}
        async with self.http.stream("GET", f"{self._prefix}/{job_id}/events", headers=headers) as stream:
            assert stream.status_code == 200, await stream.aread()
            async for event in httpx2.EventSource(stream):
                yield event


def problem(answer: httpx2.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem that `answer` is, with all its members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) - {"errors"} == MEMBERS, body
    assert (body["type"], body["status"]) == (f"urn:celeriac:problem:{kind}", status), body
    assert body["title"]
    assert body["detail"]
    return body
