"""Who may call: API keys, and the fence around an API without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from celeriac import ConfigurationError, Settings
from celeriac.asgi import create_api
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, ApiServer, api_of, serving
from tests.support.jobs_client import JobsClient, problem
from tests.support.running import running
from tests.support.waiting import eventually

SECRET = "correct horse battery staple"
OTHER_SECRET = "Schlüssel mit Umlauten und 16+"

ROUTES = [
    ("GET", "/jobs"),
    ("POST", "/jobs/add"),
    ("POST", "/jobs/no.such"),
    ("GET", "/jobs/some-id"),
    ("GET", "/jobs/some-id/result"),
    ("GET", "/jobs/some-id/events"),
    ("POST", "/jobs/some-id/cancel"),
    ("POST", "/jobs/some-id/retry"),
    ("GET", "/jobs/some-id/artifacts"),
    ("GET", "/jobs/some-id/artifacts/a.pdf"),
    ("POST", "/jobs/some-id/artifacts/a.pdf/link"),
    ("POST", "/uploads"),
    ("PATCH", "/uploads/some-id"),
    ("GET", "/uploads/some-id"),
    ("DELETE", "/uploads/some-id"),
]


@pytest.fixture
async def locked(settings: Settings) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client without a key of an API that has two."""
    keys = (SecretStr(f"ops:{SECRET}"), SecretStr(f"büro:{OTHER_SECRET}"))
    jobs = http_jobs.create(settings.model_copy(update={"api_keys": keys}))
    with serving(api_of(jobs.app)) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=60, base_url=server.url) as client:
            yield client
    jobs.app.close()


async def test_every_route_of_the_jobs_needs_a_key(locked: httpx2.AsyncClient) -> None:
    paths = {route for route in (await locked.get("/openapi.json")).json()["paths"] if route.startswith("/jobs")}
    assert {path.count("/") for path in paths} == {1, 2, 3, 4, 5}
    for method, path in ROUTES:
        answer = await locked.request(method, path, json={"a": 1} if method == "POST" else None)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


NO_KEYS = (
    *("", "Bearer", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Bearer ops:{SECRET}", f"Basic {SECRET}", SECRET),
    *(f"Bearer {SECRET.upper()}", "Bearer \xff\xfe", "Bearer " + "x" * 10_000),
)


async def test_what_is_no_key_does_not_open(locked: httpx2.AsyncClient) -> None:
    for given in NO_KEYS:
        answer = await locked.get("/jobs", headers={"Authorization": given.encode("latin-1")})
        assert SECRET not in problem(answer, 401, "unauthorized")["detail"]


async def test_each_key_opens(locked: httpx2.AsyncClient) -> None:
    for given in (f"Bearer {SECRET}", f"bearer {SECRET}", f"Bearer {OTHER_SECRET}"):
        headers = {"Authorization": given.encode()}
        assert (await locked.get("/jobs", headers=headers)).status_code == 200
        assert (await locked.post("/jobs/add", json={"a": 1}, headers=headers)).status_code == 202


async def test_health_stays_open(locked: httpx2.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready"):
        assert (await locked.get(path)).status_code == 200


async def test_keys_open_the_api_to_other_hosts_and_pages(locked: httpx2.AsyncClient) -> None:
    """Whoever has the key may call from anywhere: browsers do not add an Authorization header by themselves."""
    headers = {"Host": "jobs.example.com", "Origin": "https://shop.example", "Authorization": f"Bearer {SECRET}"}
    assert (await locked.post("/jobs/add", json={"a": 1}, headers=headers)).status_code == 202


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://[", "http://"])
async def test_a_page_of_another_origin_may_change_nothing(client: JobsClient, origin: str) -> None:
    for path in ("/add", "/some-id/cancel", "/some-id/retry"):
        problem(await client.post(path, json={"a": 1}, headers={"Origin": origin}), 403, "foreign-origin")


async def test_the_api_s_own_pages_may(client: JobsClient, api: ApiServer) -> None:
    """The interactive documentation, say."""
    headers = {"Origin": api.url}
    assert (await client.post("/nothing", headers=headers)).status_code == 202


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "8.8.8.8", "[", ""])
async def test_a_name_that_was_bent_to_this_machine_is_not_served(
    client: JobsClient, api: ApiServer, host: str
) -> None:
    """DNS rebinding: to the browser, such a page and this API are one origin."""
    name = host.format(port=api.port)
    headers = {"Host": name, "Origin": f"http://{name}"}
    problem(await client.get("", headers=headers), 421, "foreign-host")
    problem(await client.post("/add", json={"a": 1}, headers=headers), 421, "foreign-host")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1", "127.1.2.3:80", "[::1]:80"])
async def test_this_machine_s_names_are_served(client: JobsClient, host: str) -> None:
    assert (await client.get("", headers={"Host": host})).status_code == 200


async def test_other_machines_are_not_served_without_keys(client: JobsClient) -> None:
    """As when uvicorn was told to listen elsewhere than the settings say; here a proxy names the client."""
    for other in ("192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "somewhere"):
        answer = await client.get("", headers={"X-Forwarded-For": other})
        assert "CELERIAC_API_KEYS" in problem(answer, 403, "not-local")["detail"]
    for this in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert (await client.get("", headers={"X-Forwarded-For": this})).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_api_without_keys_does_not_start_off_loopback(host: str, tmp_path: Path) -> None:
    settings = Settings(host=host, data_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="CELERIAC_API_KEYS"):
        create_api(settings)


@pytest.mark.slow
async def test_a_process_with_keys_never_prints_them(broker_url: str, tmp_path: Path) -> None:
    """A real process, in its most talkative mode, that is asked with right keys and wrong ones."""
    variables = {"CELERIAC_BROKER_URL": broker_url, "CELERIAC_API_KEYS": f"ops:{SECRET}"}
    arguments = ["api", "--port", "0", "--data-dir", str(tmp_path), "--log-level", "trace"]
    async with running(["-m", "celeriac", *arguments], environment=variables, cwd=tmp_path) as process:
        url = (await process.printed(r"Uvicorn running on (http://[\d.:]+)", within=60))[1]
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=60, base_url=url) as http:

            async def ask(**headers: Any) -> int:
                return (await http.get("/jobs", headers=headers)).status_code

            assert await eventually(lambda: ask(Authorization=f"Bearer {SECRET}")) == 200
            assert await ask(Authorization=f"Bearer {SECRET}-almost") == 401
        await process.printed(r'"GET /jobs HTTP/1.1" 401')
        process.process.terminate()
        await process.ended()
    printed = "\n".join(process.lines)
    assert SECRET not in printed
    assert broker_url.split("@")[0].rpartition(":")[2] not in printed


async def test_a_process_off_loopback_without_keys_does_not_start(broker_url: str, tmp_path: Path) -> None:
    arguments = ["-m", "celeriac", "api", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)]
    async with running(arguments, environment={"CELERIAC_BROKER_URL": broker_url}, cwd=tmp_path) as process:
        async with asyncio.timeout(30):
            assert await process.ended() == 3
        assert any("CELERIAC_API_KEYS" in line for line in process.lines)
