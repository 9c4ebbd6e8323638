"""The built-in application converts over HTTP with a real worker, which is cancelled and killed in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import m3u8
import pytest
import pytest_asyncio
import redis
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.media import MediaSettings
from celeriac.settings import as_environment
from tests.integration.media.test_ending import is_alive, pid_in
from tests.support.api_server import NO_TLS, serving
from tests.support.fixtures import LEASE, PATIENT, WORKERS, Databases, on_database
from tests.support.jobs_client import JobsClient, problem
from tests.support.media import program
from tests.support.waiting import eventually
from tests.support.workers import Worker, start_worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


#: Hangs before the second rendition of a ladder, once.
HANGS_ONCE = """#!/bin/sh
case "$*" in *60p.m3u8*)
    if mkdir {here}/hung 2>/dev/null; then echo $$ > {here}/pid; exec sleep 1000; fi
esac
echo "$*" >> {here}/runs
exec {ffmpeg} "$@"
"""


@dataclass
class Stack:
    """The API, and how to start workers."""

    client: httpx2.AsyncClient
    start: Callable[[], Worker]
    folder: Path

    @property
    def jobs(self) -> JobsClient:
        return JobsClient(self.client)

    async def upload(self, file: Path) -> str:
        answer = await self.client.post("/uploads", files={"file": (file.name, file.read_bytes())})
        return str(answer.json()["id"])

    async def submit(self, file: Path, *presets: Any, **headers: str) -> httpx2.Response:
        body = {"source": {"upload": await self.upload(file)}, "presets": list(presets)}
        return await self.client.post("/media/conversions", json=body, headers=headers)


@pytest.fixture
def own(tmp_path: Path) -> MediaSettings:
    wrapper = tmp_path / "ffmpeg.sh"
    wrapper.write_text(HANGS_ONCE.format(here=tmp_path, ffmpeg=program()))
    wrapper.chmod(0o755)
    return MediaSettings(
        media_ffmpeg=str(wrapper),
        media_also_open=[tmp_path, Path(program()).parent],
        media_work_dir=tmp_path / "work",
        media_library="videos",
    )


@pytest_asyncio.fixture(loop_scope="session")
async def stack(
    valkey_url: str, tmp_path: Path, own: MediaSettings, request: pytest.FixtureRequest
) -> AsyncGenerator[Stack]:
    url = on_database(valkey_url, Databases.MEDIA)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    settings = Settings(
        broker_url=SecretStr(url), data_dir=tmp_path, lease=LEASE, broker_timeout=PATIENT, storage_reserve_bytes=0
    )
    environment = {**as_environment(settings), "CELERIAC_FAMILIES_OFF": "email"}
    environment |= {"CELERIAC_MEDIA_FFMPEG": own.media_ffmpeg, "CELERIAC_MEDIA_WORK_DIR": str(own.media_work_dir)}
    environment["CELERIAC_MEDIA_ALSO_OPEN"] = f"{tmp_path}:{Path(program()).parent}"
    request.node.stash[WORKERS] = []
    with ExitStack() as started, serving(create_api(settings, {"media": own})) as server:

        def start() -> Worker:
            log = tmp_path / f"worker-{len(request.node.stash[WORKERS])}.log"
            worker = start_worker("celeriac.worker:c_app", environment, log, pool="asyncio")
            started.callback(worker.kill)
            request.node.stash[WORKERS].append((worker, 0))
            return worker

        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            yield Stack(client, start, tmp_path)


@pytest.mark.slow
async def test_a_killed_worker_takes_ffmpeg_along_and_the_ladder_goes_on_at_the_first_missing_rendition(
    stack: Stack, clip: Path
) -> None:
    worker = stack.start()
    answer = await stack.submit(clip, {"name": "hls", "heights": [80, 60]})
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    assert answer.headers["Location"] == f"/jobs/{job}"
    pid = await pid_in(stack.folder / "pid")
    (left,) = [folder for folder in (stack.folder / "work").glob("*/*") if folder.name.startswith(job)]
    worker.kill()
    await eventually(lambda: not is_alive(pid), "ffmpeg has died with its worker")

    stack.start()
    assert (await stack.jobs.finished(job))["state"] == "succeeded"
    (output,) = (await stack.client.get(f"/jobs/{job}/result")).json()["result"]["outputs"]
    assert output["detail"] == "142 x 80, 106 x 60; 1 of them kept from an earlier run"
    runs = (stack.folder / "runs").read_text()
    assert (runs.count("80p.m3u8"), runs.count("60p.m3u8")) == (1, 1)
    assert not left.exists() and list((stack.folder / "work").glob("*/*")) == []
    master = m3u8.loads((await stack.client.get(f"/jobs/{job}/artifacts/clip.m3u8")).text)
    assert [one.stream_info.resolution for one in master.playlists] == [(142, 80), (106, 60)]
    artifacts = (await stack.client.get(f"/jobs/{job}/artifacts")).json()["artifacts"]
    assert {artifact["name"] for artifact in artifacts} == set(output["files"])


@pytest.mark.slow
async def test_a_job_is_cancelled_and_retried(stack: Stack, clip: Path) -> None:
    stack.start()
    job = (await stack.submit(clip, {"name": "hls", "heights": [80, 60]})).json()["id"]
    pid = await pid_in(stack.folder / "pid")
    shown = await stack.jobs.job(job)
    assert shown["progress"]["total"] == 100 and shown["progress"]["done"] > 40
    await stack.client.post(f"/jobs/{job}/cancel")
    assert (await stack.jobs.finished(job))["state"] == "cancelled"
    await eventually(lambda: not is_alive(pid), "ffmpeg has ended")
    await stack.client.post(f"/jobs/{job}/retry")
    await stack.jobs.reached(job, "succeeded")


@pytest.fixture
def nothing_runs(own: MediaSettings) -> Generator[None]:
    yield
    assert not Path(own.media_ffmpeg).with_name("runs").exists()


async def test_what_is_wrong_is_said_at_once(stack: Stack, clip: Path, tmp_path: Path, nothing_runs: None) -> None:
    client = stack.client
    upload = await stack.upload(clip)

    async def refused(body: Any, status: int, kind: str) -> str:
        return str(problem(await client.post("/media/conversions", json=body), status, kind)["detail"])

    source = {"upload": upload}
    assert "there is no preset 'mp5'" in await refused({"source": source, "presets": ["mp5"]}, 422, "preset-invalid")
    changed = {"name": "mp4", "crf": 99, "colour": "red"}
    told = await refused({"source": source, "presets": [changed]}, 422, "preset-invalid")
    assert "crf" in told and "colour" in told
    twice = await refused({"source": source, "presets": ["mp4", "mp4"]}, 422, "preset-invalid")
    assert "would make the same file" in twice
    assert "it takes image" in await refused({"source": source, "presets": ["webp"]}, 422, "media-refused")
    await refused({"source": {"upload": "0" * 36}, "presets": ["mp4"]}, 404, "unknown-upload")
    await refused({"source": {"job": "0" * 36, "artifact": "a.mp4"}, "presets": ["mp4"]}, 404, "unknown-artifact")
    for path in ("../../etc/passwd", "a/../../b", "", "uploads"):
        await refused({"source": {"path": path}, "presets": ["mp4"]}, 422, "media-refused")
    for wrong in ({}, {"upload": upload, "path": "a"}, {"job": "a"}, {"artifact": "a"}):
        assert (await client.post("/media/conversions", json={"source": wrong, "presets": ["mp4"]})).status_code == 422
    assert (await client.get("/jobs")).json()["jobs"] == []


@pytest.mark.slow
async def test_a_look_at_a_file_of_each_place(stack: Stack, clip: Path, tmp_path: Path, nothing_runs: None) -> None:
    library = tmp_path / "storage" / "videos" / "2024"
    library.mkdir(parents=True)
    (library / "clip.mkv").write_bytes(clip.read_bytes())
    for source in ({"upload": await stack.upload(clip)}, {"path": "2024/clip.mkv"}):
        answer = await stack.client.post("/media/probe", json={"source": source})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["category"], found["format"], round(found["duration"])) == ("video", "matroska", 2)
        assert [stream["codec"] for stream in found["streams"]] == ["h264", "aac"]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    answer = await stack.client.post("/media/probe", json={"source": {"upload": await stack.upload(broken)}})
    assert "is not a whole" in problem(answer, 422, "media-refused")["detail"]


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.families.media.api._LOOKS", 0)
    monkeypatch.setattr("celeriac.families.media.api._PATIENCE_S", 0.1, raising=False)


async def test_a_look_waits_for_its_turn_but_not_for_ever(nobody_looks: None, stack: Stack, clip: Path) -> None:
    answer = await stack.client.post("/media/probe", json={"source": {"upload": await stack.upload(clip)}}, timeout=5)
    assert "ask again later" in problem(answer, 503, "busy")["detail"]
    assert answer.headers["Retry-After"] == "10"


async def test_the_presets_are_listed(stack: Stack) -> None:
    listed = {preset["name"]: preset for preset in (await stack.client.get("/media/presets")).json()}
    assert {"mp4", "webm", "hls", "mp3", "thumbnail", "sprite", "preview", "webp", "avif", "pdf"} <= listed.keys()
    assert listed["mp4"]["preset"]["codec"] == "h264" and listed["mp4"]["takes"] == ["video"]


@pytest.mark.slow
async def test_the_same_request_under_a_key_is_one_job(stack: Stack, clip: Path) -> None:
    body = {"source": {"upload": await stack.upload(clip)}, "presets": ["thumbnail"]}
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(stack.client.post("/media/conversions", json=body, headers=headers) for _ in range(3))
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
