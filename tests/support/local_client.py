"""Starlette's test client, as a program on this machine: the API trusts loopback alone when it has no keys."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send


def local_client(api: FastAPI, base_url: str = "http://127.0.0.1", root_path: str = "") -> TestClient:
    """A client at 127.0.0.1. The option `client=` of `TestClient` says the same, but the oldest Starlette lacks it."""

    async def from_loopback(scope: Scope, receive: Receive, send: Send) -> None:
        await api({**scope, "client": ("127.0.0.1", 1)}, receive, send)

    return TestClient(from_loopback, base_url=base_url, root_path=root_path)
