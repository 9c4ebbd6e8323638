"""The artifacts of jobs over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from celeriac.core.ids import new_id
from celeriac.storage.links import Link
from tests.support.contract_jobs import ContractJobs
from tests.support.jobs_client import JobsClient, problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "Übersicht „Q3“.pdf"
CONTENT = b"%PDF-1.7" + bytes(range(256)) * 40_000


async def made(jobs: ContractJobs, name: str = NAME, content: bytes = CONTENT) -> str:
    """The id of a job that has made this file."""
    job_id, artifacts = new_id(), jobs.app.storage.artifacts
    file = await artifacts.begin(job_id, name)
    await file.write(content)
    await artifacts.publish(job_id, file)
    return job_id


def path(job_id: str, name: str = NAME) -> str:
    return f"/{job_id}/artifacts/{quote(name)}"


async def test_artifacts_are_listed(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app)
    (found,) = (await client.get(f"/{job_id}/artifacts")).json()["artifacts"]
    assert datetime.fromisoformat(found.pop("created_at")) <= datetime.now(UTC)
    assert found == {
        "name": NAME,
        "size": len(CONTENT),
        "content_type": "application/pdf",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }


async def test_a_job_without_artifacts(client: JobsClient) -> None:
    job_id = (await client.submit("celeriac.echo"))["id"]
    assert (await client.get(f"/{job_id}/artifacts")).json() == {"artifacts": []}
    problem(await client.get(f"/{new_id()}/artifacts"), 404, "unknown-job")
    problem(await client.get(path(job_id)), 404, "unknown-artifact")


async def test_a_file_is_fetched(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app)
    answer = await client.get(path(job_id))
    assert (answer.status_code, answer.content) == (200, CONTENT)
    headers = answer.headers
    assert headers["content-type"] == "application/pdf"
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == (
        f"attachment; filename=\"_bersicht _Q3_.pdf\"; filename*=UTF-8''{quote(NAME, safe='')}"
    )
    head = await client.http.head(f"/jobs{path(job_id)}")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    assert (await client.get(path(job_id), headers={"If-None-Match": headers["etag"]})).status_code == 304


async def test_a_part_is_fetched(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app)
    answer = await client.get(path(job_id), headers={"Range": "bytes=1000-1999"})
    assert (answer.status_code, answer.content) == (206, CONTENT[1000:2000])
    assert answer.headers["content-range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert (await client.get(path(job_id), headers={"Range": "bytes=-5"})).content == CONTENT[-5:]
    head = await client.http.head(f"/jobs{path(job_id)}", headers={"Range": "bytes=0-3"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT))), "RFC 9110: only for GET"
    outside = await client.get(path(job_id), headers={"Range": f"bytes={len(CONTENT)}-"})
    problem(outside, 416, "range-not-satisfiable")
    assert outside.headers["content-range"] == f"bytes */{len(CONTENT)}"


async def replaced(jobs: ContractJobs, job_id: str, content: bytes = CONTENT[::-1]) -> str:
    """Have the job make its file again, and return the new ETag."""
    artifacts = jobs.app.storage.artifacts
    file = await artifacts.begin(job_id, NAME)
    await file.write(content)
    return f'"{(await artifacts.publish(job_id, file)).sha256}"'


@pytest.mark.parametrize("start", [0, 1_000_000])
async def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(
    client: JobsClient, http_jobs_app: ContractJobs, start: int
) -> None:
    large = CONTENT * 4  # more than the buffers between the file and the reader hold
    job_id = await made(http_jobs_app, content=large)
    async with client.http.stream("GET", f"/jobs{path(job_id)}", headers={"Range": f"bytes={start}-"}) as answer:
        pieces = answer.aiter_raw()
        read = await anext(pieces)
        new = await replaced(http_jobs_app, job_id)
        read += b"".join([piece async for piece in pieces])
    assert (answer.status_code, answer.headers["etag"]) == (206, f'"{hashlib.sha256(large).hexdigest()}"')
    assert read == large[start:]
    assert (await client.get(path(job_id))).headers["etag"] == new


async def test_a_download_that_is_resumed_after_the_file_was_replaced(
    client: JobsClient, http_jobs_app: ContractJobs
) -> None:
    job_id = await made(http_jobs_app)
    first = await client.get(path(job_id), headers={"Range": "bytes=0-999"})
    old = first.headers["etag"]
    rest = {"Range": "bytes=1000-"}
    same = await client.get(path(job_id), headers={**rest, "If-Range": old, "If-Match": f'"other", {old}'})
    assert (same.status_code, first.content + same.content) == (206, CONTENT)
    new = await replaced(http_jobs_app, job_id)
    whole = await client.get(path(job_id), headers={**rest, "If-Range": old})
    assert (whole.status_code, whole.content, whole.headers["etag"]) == (200, CONTENT[::-1], new)
    problem(await client.get(path(job_id), headers={**rest, "If-Match": old}), 412, "precondition-failed")
    assert (await client.get(path(job_id), headers={**rest, "If-Match": "*"})).status_code == 206


@pytest.mark.slow
async def test_a_file_that_is_replaced_all_the_time_is_always_there(
    client: JobsClient, http_jobs_app: ContractJobs
) -> None:
    job_id, contents = await made(http_jobs_app, content=b"0" * 100_000), set[bytes]()
    for number in range(1, 60):
        answers = [asyncio.create_task(client.get(path(job_id))) for _ in range(3)]
        await replaced(http_jobs_app, job_id, str(number % 10).encode() * 100_000)
        for answer in await asyncio.gather(*answers):
            assert answer.status_code == 200, answer.text
            assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
            contents.add(answer.content)
    assert len(contents) > 1


async def test_nothing_is_said_of_the_encoding_of_a_text(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app, "orders.csv", "Bestellung;Größe\r\n".encode("cp1252"))
    for answer in (
        await client.get(path(job_id, "orders.csv")),
        await client.http.head(f"/jobs{path(job_id, 'orders.csv')}"),
    ):
        assert answer.headers["content-type"] == "text/csv"


async def test_an_empty_file(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app, "empty.txt", b"")
    answer = await client.get(path(job_id, "empty.txt"))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("name", ["..%2f..%2fkeys%2flinks", "%2e%2e", "a%00b", "keys%5clinks", "x" * 201])
async def test_paths_lead_nowhere_else(client: JobsClient, http_jobs_app: ContractJobs, name: str) -> None:
    job_id = await made(http_jobs_app)
    assert (await client.get(f"/{job_id}/artifacts/{name}")).status_code in (404, 422)


async def test_a_link_is_followed_until_it_expires(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app)
    link = (await client.post(f"{path(job_id)}/link", json={"expires_in": 60})).json()
    assert datetime.fromisoformat(link["expires_at"]) <= datetime.now(UTC) + timedelta(seconds=60)
    assert link["url"].isascii() and link["url"].endswith(f"/{quote(NAME)}")
    assert (await client.http.get(link["url"])).content == CONTENT
    assert (await client.http.get(link["url"], headers={"Range": "bytes=0-3"})).content == b"%PDF"
    changed = re.sub(r"/links/(.)", lambda found: f"/links/{'A' if found[1] != 'A' else 'B'}", link["url"])
    problem(await client.http.get(changed), 403, "link-invalid")
    other = urlsplit(link["url"]).path.rpartition("/")[0] + "/other.pdf"
    problem(await client.http.get(other), 404, "unknown-artifact")
    expired = Link(job_id, NAME, datetime.now(UTC) - timedelta(seconds=1))
    token = await http_jobs_app.app.storage.links.token(expired)
    answer = await client.http.get(f"/links/{token}/{quote(NAME)}")
    assert "was valid until" in problem(answer, 403, "link-invalid")["detail"]


@pytest.mark.parametrize("asked", [{"expiresin": 1}, {"expires_in": 0}, {"expires_in": 60, "once": True}])
async def test_a_link_with_wrong_wishes(
    client: JobsClient, http_jobs_app: ContractJobs, asked: dict[str, object]
) -> None:
    answer = await client.post(f"{path(await made(http_jobs_app))}/link", json=asked)
    problem(answer, 422, "invalid-request")


async def test_a_link_to_what_is_not_there(client: JobsClient) -> None:
    problem(await client.post(f"{path(new_id())}/link"), 404, "unknown-artifact")


async def test_a_caller_who_leaves_in_the_middle_does_no_harm(client: JobsClient, http_jobs_app: ContractJobs) -> None:
    job_id = await made(http_jobs_app)
    async with client.http.stream("GET", f"/jobs{path(job_id)}") as answer:
        async for _ in answer.aiter_raw(1024):
            break
    async with httpx2.AsyncClient(base_url=client.http.base_url) as another:
        assert (await another.get(f"/jobs{path(job_id)}")).content == CONTENT
