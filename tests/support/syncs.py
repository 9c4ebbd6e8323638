"""What a user does with syncs over HTTP."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import httpx2

from tests.support.waiting import eventually

ENDED = ("succeeded", "failed", "cancelled", "dead")


class Syncs:
    def __init__(self, client: httpx2.AsyncClient, file: Path) -> None:
        """`file` is the SQLite database that the syncs write."""
        self.client = client
        self.file = file

    async def call(self, method: str, path: str, *, ok: int = 200, **options: Any) -> Any:
        response = await self.client.request(method, f"/sync{path}", **options)
        assert response.status_code == ok, response.text
        return response.json()

    async def run(self, name: str, **form: Any) -> dict[str, Any]:
        """Run a sync, and return its job once that has ended."""
        job = await self.call("POST", f"/syncs/{name}/runs", ok=202, json=form)
        return await self.ended(job["id"])

    async def ended(self, job_id: str) -> dict[str, Any]:
        """A job, once it has ended."""

        async def look() -> dict[str, Any] | None:
            job = (await self.client.get(f"/jobs/{job_id}")).json()
            return job if job["state"] in ENDED else None

        return await eventually(look, f"job {job_id} has ended")

    async def result(self, job_id: str) -> Any:
        return (await self.client.get(f"/jobs/{job_id}/result")).json()["result"]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database has."""
        with sqlite3.connect(self.file) as connection:
            return connection.execute(query).fetchall()
