"""Uploads over HTTP: forms, and tus 1.0.0."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from celeriac import Settings
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, ApiServer, api_of, serving
from tests.support.contract_jobs import ContractJobs
from tests.support.jobs_client import JobsClient, problem
from tests.support.waiting import DEADLINE, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}
SENT = b"%PDF-1.7" + bytes(range(256)) * 40_000


def metadata(**told: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items())


async def begin(client: JobsClient, size: int = len(SENT), **told: str) -> str:
    """The path of an upload that has been announced."""
    headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata(**{"filename": "Ünfall.pdf", **told})}
    answer = await client.http.post("/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0" and answer.headers["upload-offset"] == "0"
    return answer.headers["location"]


async def send(client: JobsClient, path: str, offset: int, part: bytes) -> httpx2.Response:
    return await client.http.patch(path, headers={**PART, "Upload-Offset": str(offset)}, content=part)


async def shown(client: JobsClient, path: str) -> dict[str, Any]:
    return (await client.http.get(path)).json()


async def stored(jobs: ContractJobs, upload: dict[str, Any]) -> bytes:
    uploads = jobs.app.storage.uploads
    return b"".join([piece async for piece in uploads.stream(await uploads.get(upload["id"]))])


async def test_a_form_with_a_file(client: JobsClient, jobs: ContractJobs) -> None:
    digest = hashlib.sha256(SENT).hexdigest()
    answer = await client.http.post("/uploads", files={"file": ("Ünfall.pdf", SENT)}, data={"sha256": digest})
    upload = answer.json()
    assert answer.status_code == 201, upload
    assert answer.headers["location"] == f"/uploads/{upload['id']}"
    assert (upload["name"], upload["size"], upload["offset"]) == ("Ünfall.pdf", len(SENT), len(SENT))
    assert (upload["complete"], upload["content_type"], upload["sha256"]) == (True, "application/pdf", digest)
    assert await stored(jobs, upload) == SENT
    assert await shown(client, answer.headers["location"]) == upload


async def test_a_file_that_comes_in_parts(client: JobsClient, jobs: ContractJobs) -> None:
    path = await begin(client, sha256=hashlib.sha256(SENT).hexdigest())
    answer = await send(client, path, 0, SENT[:5_000_000])
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "5000000")
    head = await client.http.head(path, headers=TUS)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("5000000", str(len(SENT)))
    assert head.headers["cache-control"] == "no-store" and "upload-expires" in head.headers
    assert (await shown(client, path))["complete"] is False
    assert (await send(client, path, 5_000_000, SENT[5_000_000:])).headers["upload-offset"] == str(len(SENT))
    upload = await shown(client, path)
    assert upload["complete"] and await stored(jobs, upload) == SENT


async def test_an_upload_that_is_announced_with_its_content(client: JobsClient, jobs: ContractJobs) -> None:
    headers = {**PART, "Upload-Length": "5", "Upload-Metadata": metadata(filename="a.txt")}
    answer = await client.http.post("/uploads", headers=headers, content=b"12345")
    assert answer.headers["upload-offset"] == "5" and await stored(jobs, answer.json()) == b"12345"


async def test_of_a_connection_that_breaks_what_has_arrived_is_kept(
    client: JobsClient, api: ApiServer, jobs: ContractJobs
) -> None:
    path = await begin(client)
    cut = 8_000_000
    head = f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(SENT)}\r\nTus-Resumable: 1.0.0\r\n"

    def send_and_break() -> None:
        with socket.create_connection(("127.0.0.1", api.port)) as connection:
            connection.sendall(
                f"{head}Upload-Offset: 0\r\nContent-Type: {PART['Content-Type']}\r\n\r\n".encode() + SENT[:cut]
            )

    await asyncio.to_thread(send_and_break)
    arrived = await eventually(lambda: _offset(client, path))
    assert cut - 200_000 < arrived <= cut, "the server drops only what nobody has read when the connection ends"
    await send(client, path, arrived, SENT[arrived:])
    assert await stored(jobs, await shown(client, path)) == SENT


@pytest.fixture
def slow_file(http_url: str, tmp_path: Path) -> Iterator[ApiServer]:
    """An API under plain uvicorn that wants 1,000 bytes in each half second."""
    settings = Settings(broker_url=SecretStr(http_url), data_dir=tmp_path, request_timeout=0.5, min_upload_rate=2000)
    jobs = http_jobs.create(settings)
    with serving(api_of(jobs.app)) as server:
        yield server
    jobs.app.close()


def dripped(api: ApiServer, request: str, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """All that the server says to a client that sends a piece each tenth of a second, and how many bytes it sent."""
    head, sent, said = f"{request}\r\nHost: 127.0.0.1\r\nContent-Length: {len(SENT)}\r\n\r\n", 0, b""
    with socket.create_connection(("127.0.0.1", api.port), timeout=DEADLINE) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.1)
        began = time.monotonic()
        for piece in pieces:
            connection.sendall(piece)
            sent += len(piece)
            try:
                said = connection.recv(65536)
                break
            except TimeoutError:
                assert time.monotonic() - began < DEADLINE, "the server still waits"
        connection.settimeout(DEADLINE)
        with suppress(ConnectionResetError):  # a byte was on its way when the server ended the connection
            said += b"".join(iter(lambda: connection.recv(65536), b""))
        return said, sent


async def test_a_part_that_trickles_in_is_ended_and_what_has_arrived_is_kept(slow_file: ApiServer) -> None:
    async with httpx2.AsyncClient(verify=NO_TLS, base_url=slow_file.url, timeout=60) as http:
        client = JobsClient(http)
        path = await begin(client)
        headers = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: {PART['Content-Type']}"
        pieces = (SENT[at : at + 1] for at in count())
        said, sent = await asyncio.to_thread(dripped, slow_file, f"PATCH {path} HTTP/1.1\r\n{headers}", pieces)
        assert said.startswith(b"HTTP/1.1 408 ") and b"more slowly than 2,000 bytes a second" in said
        arrived = await _offset(client, path)
        assert sent - 1 <= arrived <= sent, "the last byte may come after the answer"
        await send(client, path, arrived, SENT[arrived:])
        assert (await shown(client, path))["complete"]


@pytest.mark.alone
async def test_a_part_that_comes_fast_enough_takes_many_times_as_long(slow_file: ApiServer) -> None:
    async with httpx2.AsyncClient(verify=NO_TLS, base_url=slow_file.url, timeout=60) as http:
        client = JobsClient(http)
        path = await begin(client)
        headers = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: {PART['Content-Type']}"
        size = len(SENT) // 30 + 1  # for three seconds
        pieces = (SENT[at : at + size] for at in range(0, len(SENT), size))
        said, _ = await asyncio.to_thread(
            dripped, slow_file, f"PATCH {path} HTTP/1.1\r\nConnection: close\r\n{headers}", pieces
        )
        assert said.startswith(b"HTTP/1.1 204 "), said
        assert (await shown(client, path))["complete"]


@pytest.fixture
def impatient(http_url: str, tmp_path: Path) -> Iterator[ApiServer]:
    """An API under plain uvicorn that waits for half a second."""
    jobs = http_jobs.create(Settings(broker_url=SecretStr(http_url), data_dir=tmp_path, request_timeout=0.5))
    with serving(api_of(jobs.app)) as server:
        yield server
    jobs.app.close()


def stalled(api: ApiServer, request: str, beginning: bytes) -> bytes:
    """All that the server says to a client that sends this, and then nothing."""
    head = f"{request}\r\nHost: 127.0.0.1\r\nContent-Length: {len(SENT)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=DEADLINE) as connection:
        connection.sendall(head.encode() + beginning)
        return b"".join(iter(lambda: connection.recv(65536), b""))


async def test_of_a_part_that_stops_what_has_arrived_is_kept(impatient: ApiServer) -> None:
    async with httpx2.AsyncClient(verify=NO_TLS, base_url=impatient.url, timeout=60) as http:
        client = JobsClient(http)
        path = await begin(client)
        headers = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: {PART['Content-Type']}"
        request = f"PATCH {path} HTTP/1.1\r\n{headers}"
        said = await asyncio.to_thread(stalled, impatient, request, SENT[:100_000])
        assert said.startswith(b"HTTP/1.1 408 ") and b"problem:body-too-slow" in said
        assert await _offset(client, path) == 100_000
        await send(client, path, 100_000, SENT[100_000:])
        assert (await shown(client, path))["complete"]


async def test_a_form_that_stops_is_ended(impatient: ApiServer) -> None:
    request = "POST /uploads HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x"
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + SENT[:100_000]
    said = await asyncio.to_thread(stalled, impatient, request, form)
    assert said.startswith(b"HTTP/1.1 408 ") and b"nothing of the body has come for 0.5 s" in said


async def _offset(client: JobsClient, path: str) -> int:
    return int((await client.http.head(path, headers=TUS)).headers["upload-offset"])


async def test_what_is_refused(client: JobsClient) -> None:
    path = await begin(client, size=10)
    problem(await send(client, path, 3, b"3"), 409, "offset-mismatch")
    problem(await send(client, path, 0, b"0" * 11), 413, "file-too-large")
    wrong = {**PART, "Content-Type": "text/plain", "Upload-Offset": "0"}
    problem(await client.http.patch(path, headers=wrong, content=b"0"), 415, "unsupported-media-type")
    problem(await client.http.patch(path, headers=PART, content=b"0"), 422, "invalid-request")
    newer = {**PART, "Tus-Resumable": "2.0.0", "Upload-Offset": "0"}
    problem(await client.http.patch(path, headers=newer, content=b"0"), 412, "tus-version")
    problem(await client.http.post("/uploads", headers=TUS), 400, "length-missing")
    problem(await client.http.post("/uploads", headers={**TUS, "Upload-Length": "-1"}), 422, "invalid-request")
    problem(await client.http.post("/uploads", headers={**TUS, "Upload-Length": str(10**15)}), 413, "file-too-large")
    for told in ({"filename": "../up"}, {"sha256": "no"}):
        headers = {**TUS, "Upload-Length": "1", "Upload-Metadata": metadata(**told)}
        assert (await client.http.post("/uploads", headers=headers)).status_code == 422
    headers = {**TUS, "Upload-Length": "1", "Upload-Metadata": "filename ~~~"}
    problem(await client.http.post("/uploads", headers=headers), 400, "metadata-invalid")
    problem(await client.http.post("/uploads", data={"a": "b"}, files={}), 400, "length-missing")
    assert (await client.http.head(path, headers=TUS)).headers["upload-offset"] == "0"


async def test_an_upload_whose_server_was_killed_after_the_last_part_is_complete_when_it_is_looked_at(
    client: JobsClient, jobs: ContractJobs
) -> None:
    uploads = jobs.app.storage.uploads
    for ask in (client.http.head, client.http.get):
        path = await begin(client, size=5)
        await uploads.location.put(f"uploads/parts/{path.rpartition('/')[2]}/{0:020d}-token", b"12345")
        assert (await ask(path, headers=TUS)).status_code == 200
        assert (await uploads.find(path.rpartition("/")[2])).is_complete
    path = await begin(client, size=5, sha256="0" * 64)
    await uploads.location.put(f"uploads/parts/{path.rpartition('/')[2]}/{0:020d}-token", b"12345")
    problem(await client.http.get(path), 422, "checksum-mismatch")


async def test_another_file_than_was_announced(client: JobsClient) -> None:
    path = await begin(client, size=5, sha256="0" * 64)
    problem(await send(client, path, 0, b"12345"), 422, "checksum-mismatch")
    problem(await client.http.get(path), 404, "unknown-upload")


async def test_an_upload_is_deleted(client: JobsClient) -> None:
    path = await begin(client)
    assert (await client.http.delete(path, headers=TUS)).status_code == 204
    problem(await client.http.get(path), 404, "unknown-upload")
    problem(await client.http.delete(path, headers=TUS), 404, "unknown-upload")


async def test_a_request_of_tus_names_its_version(client: JobsClient) -> None:
    path = await begin(client)
    part = {"Content-Type": PART["Content-Type"], "Upload-Offset": "0"}
    for answer in (
        await client.http.patch(path, headers=part, content=b"12345"),
        await client.http.delete(path),
        await client.http.post("/uploads", headers={"Upload-Length": "5"}),
    ):
        assert "send the header `Tus-Resumable: 1.0.0`" in problem(answer, 412, "tus-version")["detail"]
        assert answer.headers["tus-version"] == "1.0.0"
    assert (await client.http.head(path)).status_code == 412
    assert await _offset(client, path) == 0


async def test_a_caller_sees_its_uploads(client: JobsClient) -> None:
    paths = [await begin(client, size) for size in (5, 6, 7)]
    await send(client, paths[1], 0, b"123")
    page = (await client.http.get("/uploads", params={"limit": 2})).json()
    assert [upload["size"] for upload in page["uploads"]] == [7, 6]
    assert page["uploads"][1] == await shown(client, paths[1]) and page["uploads"][1]["offset"] == 3
    page = (await client.http.get("/uploads", params={"limit": 200, "cursor": page["next"]})).json()
    assert (page["uploads"][0]["size"], page["next"]) == (5, None)
    problem(await client.http.get("/uploads", params={"cursor": "x"}), 422, "invalid-request")


async def test_another_caller_sees_none_of_them(http_url: str, tmp_path: Path) -> None:
    keys = (SecretStr("ada:0123456789abcdef"), SecretStr("bob:fedcba9876543210"))
    jobs = http_jobs.create(Settings(broker_url=SecretStr(http_url), data_dir=tmp_path, api_keys=keys))
    with serving(api_of(jobs.app)) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as http:
            ada, bob = ({"Authorization": f"Bearer {key.get_secret_value()[4:]}"} for key in keys)
            made = (await http.post("/uploads", headers=ada, files={"file": ("a.txt", b"12345")})).json()
            assert (await http.get("/uploads", headers=ada)).json() == {"uploads": [made], "next": None}
            assert (await http.get("/uploads", headers=bob)).json() == {"uploads": [], "next": None}
    jobs.app.close()


async def test_what_the_server_can_do(client: JobsClient) -> None:
    answer = await client.http.options("/uploads")
    assert answer.status_code == 204 and answer.headers["tus-version"] == "1.0.0"
    assert "creation" in answer.headers["tus-extension"].split(",")
