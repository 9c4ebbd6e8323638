"""What a user does with reports over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2


class ReportApi:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def post(self, source: dict[str, Any], **more: Any) -> httpx2.Response:
        return await self.client.post("/reports", json={"source": source, **more})

    async def submit(self, source: dict[str, Any], **more: Any) -> str:
        """The id of a report that was accepted."""
        response = await self.post(source, **more)
        assert response.status_code == 202, response.text
        assert response.headers["Location"] == f"/reports/{response.json()['id']}"
        return str(response.json()["id"])

    async def events(self, job_id: str) -> AsyncGenerator[dict[str, Any]]:
        """What the job's stream tells until it ends."""
        async with self.client.stream("GET", f"/jobs/{job_id}/events") as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])

    async def ended(self, job_id: str) -> dict[str, Any]:
        """The report, once its job has ended."""
        async for _ in self.events(job_id):
            pass
        return dict((await self.client.get(f"/reports/{job_id}")).json())

    async def made(self, source: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The outcome of a report that has succeeded."""
        report = await self.ended(await self.submit(source, **more))
        assert report["job"]["state"] == "succeeded", report
        return dict(report["outcome"])

    async def failed(self, source: dict[str, Any], **more: Any) -> str:
        """The type and the message of the error of a report that has failed."""
        report = await self.ended(await self.submit(source, **more))
        assert report["job"]["state"] == "failed", report
        return f"{report['job']['error']['type']}: {report['job']['error']['message']}"

    async def upload(self, name: str, content: bytes) -> str:
        response = await self.client.post("/uploads", files={"file": (name, content)})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def artifact(self, job_id: str, name: str) -> bytes:
        response = await self.client.get(f"/jobs/{job_id}/artifacts/{name}")
        assert response.status_code == 200, response.text
        return response.content
