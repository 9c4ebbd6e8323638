"""The job API inside somebody else's FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse

from celeriac import Celeriac, Settings
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, serving
from tests.support.contract_jobs import ContractJobs
from tests.support.jobs_client import JobsClient, problem

PREFIX = "/internal/v1/work"


class NotLoggedIn(Exception):
    """The host application's own error."""


async def logged_in(x_user: str | None = Header(default=None)) -> None:
    if x_user is None:
        raise NotLoggedIn
    if x_user == "banned":
        raise HTTPException(403, "you are banned", headers={"X-Reason": "spam"})
    if x_user == "moved":
        raise HTTPException(307, headers={"Location": "/elsewhere"})
    if x_user == "buggy":
        raise ZeroDivisionError


def host_application(**options: Any) -> FastAPI:
    """An application with ways of its own: handlers for every error, and a route with a name that we might use."""
    host = FastAPI(**options)

    async def own_answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"host": type(error).__name__}, status_code=getattr(error, "status_code", 500))

    async def to_login(*_: Any) -> RedirectResponse:
        return RedirectResponse("/login", status_code=303)

    for fault in (HTTPException, RequestValidationError, ZeroDivisionError):
        host.add_exception_handler(fault, own_answer)
    host.add_exception_handler(NotLoggedIn, to_login)

    @host.get("/job/{job_id}", name="job")
    async def own_job(job_id: int) -> int:
        return job_id

    return host


@pytest.fixture
def jobs(settings: Settings) -> Iterator[ContractJobs]:
    made = http_jobs.create(settings)
    yield made
    made.app.close()


@asynccontextmanager
async def asking(api: FastAPI, **options: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    with serving(api, **options) as server:
        async with httpx2.AsyncClient(
            verify=NO_TLS, timeout=60, base_url=server.url, headers={"X-User": "ada"}
        ) as http:
            yield http


@pytest.fixture
async def http(jobs: ContractJobs) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the job API in the host application."""
    host = host_application(lifespan=jobs.app.lifespan)
    host.include_router(jobs.app.router(dependencies=[Depends(logged_in)], tags=["work"]), prefix=PREFIX)
    async with asking(host) as client:
        yield client


async def test_it_works_under_any_prefix(http: httpx2.AsyncClient) -> None:
    client = JobsClient(http, PREFIX)
    answer = await client.post("/add", json={"a": 1})
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"{PREFIX}/{job_id}"
    await client.post(f"/{job_id}/cancel")
    assert (await client.post(f"/{job_id}/retry")).headers["location"] == f"{PREFIX}/{job_id}"
    assert [job["id"] for job in (await client.get("")).json()["jobs"]] == [job_id]


async def test_problems_stay_problems_whatever_the_host_does_with_its_own(http: httpx2.AsyncClient) -> None:
    client = JobsClient(http, PREFIX)
    problem(await client.post("/add", json={"a": "x"}), 422, "invalid-request")
    problem(await client.post("/add", content=b"{", headers={"Content-Type": "application/json"}), 400, "invalid-json")
    problem(await client.post("/add", content=b"{}"), 415, "unsupported-media-type")
    problem(await client.post("/add", json={"a": 1, "x": "x" * 2_000_000}), 413, "body-too-large")
    problem(await client.post("/no.such"), 404, "unknown-task")
    problem(await client.get("/unknown"), 404, "unknown-job")
    problem(await client.get("?limit=0"), 422, "invalid-request")
    problem(await http.delete(f"{PREFIX}/unknown"), 405, "method-not-allowed")


async def test_the_host_s_own_routes_keep_their_ways(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/nothing")).json() == {"detail": "Not Found"}
    assert (await http.get("/job/x")).json() == {"host": "RequestValidationError"}
    assert (await http.get("/job/7")).json() == 7


async def test_the_host_s_dependencies_decide_as_they_do_elsewhere(http: httpx2.AsyncClient) -> None:
    async def ask(user: str) -> httpx2.Response:
        return await http.get(f"{PREFIX}/unknown", headers={"X-User": user})

    del http.headers["X-User"]
    assert (await http.get(PREFIX)).headers["location"] == "/login"
    moved = await ask("moved")  # no error, and so the host's business
    assert (moved.status_code, moved.json()) == (307, {"host": "HTTPException"})
    assert (await ask("buggy")).json() == {"host": "ZeroDivisionError"}
    banned = await ask("banned")
    assert problem(banned, 403, "forbidden")["detail"] == "you are banned"
    assert banned.headers["x-reason"] == "spam"


async def test_a_location_is_right_behind_a_proxy_that_takes_a_prefix_away(jobs: ContractJobs) -> None:
    host = host_application(lifespan=jobs.app.lifespan)
    host.include_router(jobs.app.router(), prefix="/jobs")
    async with asking(host, root_path="/shop") as http:
        view = await http.post("/jobs/add", json={"a": 1})
        assert view.headers["location"] == f"/shop/jobs/{view.json()['id']}"
        assert (await http.get("/openapi.json")).json()["servers"] == [{"url": "/shop"}]


async def test_a_location_is_right_in_an_application_that_is_mounted(jobs: ContractJobs) -> None:
    inner, outer = FastAPI(), host_application(lifespan=jobs.app.lifespan)
    inner.include_router(jobs.app.router(), prefix="/jobs")
    outer.mount("/sub", inner, name="sub")
    async with asking(outer) as http:
        view = await http.post("/sub/jobs/add", json={"a": 1})
        assert view.headers["location"] == f"/sub/jobs/{view.json()['id']}"
        assert (await http.get(view.headers["location"])).status_code == 200


async def test_two_applications_live_side_by_side(jobs: ContractJobs, app: Celeriac) -> None:
    @asynccontextmanager
    async def lifespans(api: FastAPI) -> AsyncGenerator[None]:
        async with jobs.app.lifespan(api), app.lifespan(api):
            yield

    @app.job(name="second")
    async def second() -> None: ...

    host = host_application(lifespan=lifespans)
    host.include_router(jobs.app.router(), prefix="/one")
    host.include_router(app.router(), prefix="/two")
    async with asking(host) as http:
        for path in ("/one/celeriac.echo", "/two/second"):
            view = await http.post(path)
            assert view.headers["location"] == f"{path[:4]}/{view.json()['id']}"
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert [path for path in paths if path.startswith("/two/") and "{" not in path] == ["/two/second"]


async def test_a_prefix_in_another_alphabet_makes_a_location_in_ascii(jobs: ContractJobs) -> None:
    host = host_application(lifespan=jobs.app.lifespan)
    host.include_router(jobs.app.router(), prefix="/aufträge")
    async with asking(host) as http:
        view = await http.post("/aufträge/add", json={"a": 1})
        assert view.headers["location"] == f"/auftr%C3%A4ge/{view.json()['id']}"
        assert (await http.get(view.headers["location"])).status_code == 200
