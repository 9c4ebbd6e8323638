"""What a user does with mailings over HTTP."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx2

TEXTS = {"subject": "Order {{ order }}", "text": "Dear {{ name }},\nyour order {{ order }}.\n"}


def table(count: int) -> str:
    """A CSV of so many recipients."""
    return "email,name,order\n" + "".join(f"user{n}@example.com,User {n},{n}\n" for n in range(1, count + 1))


def addresses(count: int) -> set[str]:
    return {f"user{n}@example.com" for n in range(1, count + 1)}


class MailingApi:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def post(
        self, recipients: str | bytes | None, texts: dict[str, str] | None = None, key: str | None = None
    ) -> httpx2.Response:
        """Upload a CSV of recipients."""
        files: Any = {"recipients": ("recipients.csv", recipients, "text/csv")}
        if recipients is None:  # a form all the same
            files = {"recipients": (None, "user1@example.com")}
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.client.post("/email/mailings", data=texts or TEXTS, files=files, headers=headers)

    async def submit(self, count: int) -> str:
        """The id of a mailing to so many recipients, which was accepted."""
        response = await self.post(table(count))
        assert response.status_code == 202, response.text
        assert response.headers["Location"] == f"/jobs/{response.json()['id']}"
        return str(response.json()["id"])

    async def events(self, job_id: str) -> list[dict[str, Any]]:
        """What the job's stream tells until it ends."""
        async with self.client.stream("GET", f"/jobs/{job_id}/events") as response:
            return [json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: ")]

    async def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""
        await self.events(job_id)
        return dict((await self.client.get(f"/jobs/{job_id}")).json())

    async def show(self, job_id: str) -> dict[str, Any]:
        return dict((await self.client.get(f"/email/mailings/{job_id}")).json())

    async def outcomes(self, job_id: str) -> dict[str, dict[str, str]]:
        """The rows of the export by address."""
        response = await self.client.get(f"/email/mailings/{job_id}/recipients.csv")
        assert response.status_code == 200, response.text
        return {row["email"]: row for row in csv.DictReader(io.StringIO(response.text))}

    async def jobs(self) -> list[dict[str, Any]]:
        return list((await self.client.get("/jobs")).json()["jobs"])
