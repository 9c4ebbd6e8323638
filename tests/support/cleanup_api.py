"""What a user does with cleanups over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.support.jobs_client import JobsClient
from tests.support.waiting import eventually


class CleanupApi:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.jobs = JobsClient(client)

    async def call(self, method: str, path: str, *, ok: int = 200, **options: Any) -> Any:
        response = await self.client.request(method, f"/cleanup{path}", **options)
        assert response.status_code == ok, response.text
        return response.json()

    async def show(self, policy: str) -> dict[str, Any]:
        return dict(await self.call("GET", f"/policies/{policy}"))

    async def begin(self, policy: str, **form: Any) -> str:
        """The id of a run that was accepted."""
        return str((await self.call("POST", f"/policies/{policy}/runs", ok=202, json=form))["id"])

    async def result(self, job_id: str) -> dict[str, Any]:
        """The result of a job, once it has succeeded."""
        job = await self.jobs.finished(job_id)
        assert job["state"] == "succeeded", job
        return dict((await self.jobs.get(f"/{job_id}/result")).json()["result"])

    async def run(self, policy: str, **form: Any) -> dict[str, Any]:
        """The result of a run, once it is done."""
        return await self.result(await self.begin(policy, **form))

    async def restore(self, **form: Any) -> str:
        """The job of a restore that was accepted."""
        return str((await self.call("POST", "/restores", ok=202, json=form))["id"])

    async def progressed(self, job_id: str) -> None:
        """Wait until a run has done something."""

        async def look() -> bool:
            job = await self.jobs.job(job_id)
            assert job["state"] not in ("succeeded", "failed"), job
            return bool(job["progress"] and job["progress"]["done"])

        await eventually(look, f"{job_id} has done something")
