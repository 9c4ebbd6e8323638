"""The HTTP routes of conversions: submit one, look at a file, list the presets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from celeriac.families.media.jobs import MediaJobs, look
from celeriac.families.media.model import MediaFacts
from celeriac.families.media.presets import BUILT_IN, TAKES, Preset
from celeriac.families.media.settings import MediaSettings
from celeriac.families.media.sources import SourceChoice, find
from celeriac.families.media.submission import ConversionRequest, submit
from celeriac.family import Host
from celeriac.http.auth import caller
from celeriac.http.jobs import OwnKey, location_header
from celeriac.http.models import JobView, view
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import bounded_route, require_json

#: Files that one API process looks at a time: each look is a process of its own.
_LOOKS = 2
#: Seconds that a request waits for its turn.
_PATIENCE_S = 10.0


class ProbeRequest(BaseModel):
    """A file to look at."""

    model_config = ConfigDict(extra="forbid")

    source: SourceChoice


class PresetView(BaseModel):
    """A preset, with its values."""

    name: str
    takes: list[str] = Field(description="Which files: video, audio, image, document")
    own: bool = Field(description="Whether it was added to this application")
    preset: Preset


def create_media_router(host: Host, jobs: MediaJobs, **options: Any) -> APIRouter:
    """Make the API of conversions, to include under a prefix such as `/media`. `options` go to `fastapi.APIRouter`."""
    options.setdefault("tags", ["media"])
    router = APIRouter(route_class=bounded_route(host.settings.max_body_bytes), **options)
    own = cast(MediaSettings, host.own)
    _add_submit(router, host, own, jobs)
    _add_looking(router, host, own)
    return router


def _add_submit(router: APIRouter, host: Host, own: MediaSettings, jobs: MediaJobs) -> None:
    @router.post(
        "/conversions",
        status_code=202,
        response_model=JobView,
        summary="Convert a file",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 409, 413, 415, 422, 501, 503),
    )
    async def convert(request: Request, response: Response, body: ConversionRequest, key: OwnKey) -> Any:
        """Make outputs of a file by presets. The answer is the job; its artifacts are the outputs.

        A file whose first bytes show that a preset does not take it is answered with 422. All else that is wrong with
        it is the job's error.
        """
        job = await submit(host, own, jobs, body, owner=caller(request), key=key)
        response.headers.update(location_header(request, host.app, job.id))
        return view(job)


def _add_looking(router: APIRouter, host: Host, own: MediaSettings) -> None:
    room = asyncio.Semaphore(_LOOKS)

    @router.post(
        "/probe",
        response_model=MediaFacts,
        summary="Look at a file",
        dependencies=[Depends(require_json)],
        responses=responses(400, 404, 413, 415, 422, 503),
    )
    async def probe_file(request: Request, body: ProbeRequest) -> Any:
        """Say what a file has: streams, sizes, duration. A broken file is answered with 422, and what is wrong."""
        source = await find(host.app.storage, body.source, owner=caller(request), library=own.media_library)
        async with _turn(room):
            return await look(own, host, source)

    @router.get("/presets", response_model=list[PresetView], summary="The presets")
    async def list_presets() -> Any:
        return presets_of(own)


@asynccontextmanager
async def _turn(room: asyncio.Semaphore) -> AsyncGenerator[None]:
    """Wait for room, but not for long: without a bound, requests would gather until the process has no memory."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await room.acquire()
    except TimeoutError:
        detail = "other files are being looked at: ask again later"
        raise ProblemError(503, "busy", detail, headers={"Retry-After": "10"}) from None
    try:
        yield
    finally:
        room.release()


def presets_of(own: MediaSettings) -> list[PresetView]:
    """All presets: the built-in ones, in whose place own ones stand, and the other own ones."""
    known = {**BUILT_IN, **own.media_presets}
    return [
        PresetView(name=name, takes=list(TAKES[preset.kind]), own=name in own.media_presets, preset=preset)
        for name, preset in known.items()
    ]
