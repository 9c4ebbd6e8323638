"""What a user does with webhooks over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.support.waiting import eventually

ENDED = {"delivered", "exhausted", "aborted", "held", "refused"}


class Hooks:
    def __init__(self, client: httpx2.AsyncClient, owner: str) -> None:
        self.client = client
        self.owner = owner

    async def add(self, url: str, *, ok: int = 201, **values: Any) -> dict[str, Any]:
        """A new endpoint with its secret."""
        body = {"url": url, "owner": self.owner, **values}
        return await self.call("POST", "/endpoints", ok=ok, json=body)

    async def send(self, event_type: str = "order.paid", payload: Any = None, **values: Any) -> dict[str, Any]:
        body = {"type": event_type, "payload": payload or {"order": 7}, "owner": self.owner, **values}
        return await self.call("POST", "/events", ok=202, json=body)

    async def call(self, method: str, path: str, *, ok: int = 200, **options: Any) -> Any:
        response = await self.client.request(method, f"/webhooks{path}", **options)
        assert response.status_code == ok, response.text
        return response.json() if response.content else None

    async def deliveries(self, **params: Any) -> list[dict[str, Any]]:
        return list((await self.call("GET", "/deliveries", params=params))["deliveries"])

    async def delivery(self, delivery_id: str) -> dict[str, Any]:
        return dict(await self.call("GET", f"/deliveries/{delivery_id}"))

    async def ended(self, event: str) -> list[dict[str, Any]]:
        """The deliveries of an event, once none is open, with their logs."""

        async def look() -> list[dict[str, Any]]:
            found = await self.deliveries(event=event)
            return found if all(one["state"] in ENDED for one in found) else []

        return [await self.delivery(one["id"]) for one in await eventually(look, f"event {event} has arrived")]
