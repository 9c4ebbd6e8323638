"""An idempotency key is its caller's own."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request

from celeriac.http.jobs import OwnKey

NAMES = ("", "a", "a:b", "a%3Ab", "a%", "%3A", ":")


@pytest.fixture(scope="module")
def client() -> TestClient:
    async def authenticate(request: Request) -> None:
        request.state.celeriac_caller = request.headers.get("name", "")

    api = FastAPI(dependencies=[Depends(authenticate)])

    @api.get("/key")
    async def show(key: OwnKey) -> Any:
        return key

    return TestClient(api)


def test_no_caller_can_give_the_key_of_another_one(client: TestClient) -> None:
    keys = ("a", "b", "b:c", ":b", "3Ab:c", "a:b:c")
    given = list(product(NAMES, keys))
    made = [client.get("/key", headers={"name": name, "idempotency-key": key}).json() for name, key in given]
    assert len(set(made)) == len(given)
    assert dict(zip(given, made, strict=True))["a", "b:c"] == "a:b:c", "the usual names stay as they are"


def test_without_the_header_there_is_none(client: TestClient) -> None:
    assert client.get("/key").json() is None
