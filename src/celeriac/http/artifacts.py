"""The artifacts of a job: list them, fetch them, make links to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import NoMatchFound

from celeriac.core.errors import UnknownArtifact
from celeriac.engine.app import JobApp
from celeriac.http.jobs import JobId, encoded
from celeriac.http.problems import ProblemError, responses
from celeriac.http.ranges import Part, is_another, is_unchanged, part_of
from celeriac.http.route import bounded_route
from celeriac.storage.artifacts import Artifact
from celeriac.storage.links import Link

Name = Annotated[str, Path(description="The file's name", max_length=200)]

_WEEK = 7 * 86400
_FETCHING: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file"},
    206: {"content": {"application/octet-stream": {}}, "description": "The part that the Range header asked for"},
    304: {"description": "The caller has it already"},
}


class ArtifactView(BaseModel):
    """A file that a job has made. It is complete, and its content never changes."""

    name: str
    size: int = Field(description="In bytes")
    content_type: str = Field(description="Its media type, found by its first bytes")
    sha256: str = Field(description="The digest of its content, in hexadecimal digits")
    created_at: datetime


class ArtifactList(BaseModel):
    """The artifacts of a job, by name."""

    artifacts: list[ArtifactView]


class LinkRequest(BaseModel):
    """For how long a link is to be valid."""

    model_config = ConfigDict(extra="forbid")

    expires_in: int = Field(default=3600, ge=1, le=_WEEK, description="Seconds")


_USUAL = LinkRequest()


class LinkView(BaseModel):
    """A link that whoever has it may follow, without an API key, until it expires."""

    url: str
    expires_at: datetime


def add_artifact_routes(router: APIRouter, app: JobApp) -> None:
    """Add the artifacts of jobs to the job API."""

    @router.get(
        "/{job_id}/artifacts",
        response_model=ArtifactList,
        summary="The files that a job has made",
        responses=responses(404, 422, 503),
    )
    async def list_artifacts(job_id: JobId) -> Any:
        found = await app.storage.artifacts.of(job_id)
        if not found:
            await app.client.get(job_id)  # which says that there is no such job
        return ArtifactList(artifacts=[_view(artifact) for artifact in found])

    @router.head("/{job_id}/artifacts/{name}", include_in_schema=False)
    @router.get(
        "/{job_id}/artifacts/{name}",
        response_class=StreamingResponse,
        summary="A file that a job has made",
        responses={**_FETCHING, **responses(404, 412, 416, 422, 503)},
    )
    async def fetch_artifact(job_id: JobId, name: Name, request: Request) -> Response:
        """Ranges (RFC 9110) and conditions (ETag) are honoured, so a download can be resumed."""
        return await send_artifact(app, request, job_id, name)

    @router.post(
        "/{job_id}/artifacts/{name}/link",
        response_model=LinkView,
        summary="Make a link to a file",
        responses=responses(400, 404, 409, 413, 415, 422, 503),
    )
    async def link_artifact(job_id: JobId, name: Name, request: Request, asked: LinkRequest = _USUAL) -> Any:
        """Whoever has the link may fetch the file, without an API key, until it expires."""
        artifact = await app.storage.artifacts.get(job_id, name)
        expires_at = datetime.now(UTC) + timedelta(seconds=asked.expires_in)
        token = await app.storage.links.token(Link(artifact.job_id, artifact.name, expires_at))
        try:
            url = request.url_for(_route_name(app), token=token, name=artifact.name)
        except NoMatchFound:
            raise ProblemError(
                409, "links-not-served", "this API serves no links: include app.links() without dependencies"
            ) from None
        return LinkView(url=encoded(str(url)), expires_at=expires_at)


def create_links_router(app: JobApp, **options: Any) -> APIRouter:
    """Serves what links lead to. Include it without dependencies: the link is the permission."""
    options.setdefault("tags", ["links"])
    router = APIRouter(route_class=bounded_route(app.settings.max_body_bytes), **options)

    @router.head("/{token}/{name}", include_in_schema=False)
    @router.get(
        "/{token}/{name}",
        name=_route_name(app),
        response_class=StreamingResponse,
        summary="Follow a link to a file",
        responses={**_FETCHING, **responses(403, 404, 412, 416, 422, 503)},
    )
    async def follow_link(token: Annotated[str, Path(max_length=1000)], name: Name, request: Request) -> Response:
        link = await app.storage.links.read(token)
        if link.name != name:
            raise UnknownArtifact(link.job_id, name)
        return await send_artifact(app, request, link.job_id, link.name)

    return router


async def send_artifact(app: JobApp, request: Request, job_id: str, name: str) -> Response:
    """The answer with the newest file of that name. One that is replaced before it is opened is looked up anew."""
    artifact = await app.storage.artifacts.get(job_id, name)
    while True:
        try:
            return await _send(app, request, artifact)
        except UnknownArtifact:
            newest = await app.storage.artifacts.get(job_id, name)
            if newest.path == artifact.path:
                raise
            artifact = newest


async def _send(app: JobApp, request: Request, artifact: Artifact) -> Response:
    """The file, or the part of it that was asked for. Browsers save it, and show none of it as a page of this site."""
    etag = f'"{artifact.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": _disposition(artifact.name),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    if is_another(request.headers, etag):
        raise ProblemError(412, "precondition-failed", f"the file is another now: its ETag is {etag}")
    if is_unchanged(request.headers, etag):
        return Response(status_code=304, headers=headers)
    is_head = request.method == "HEAD"  # for which RFC 9110 has no ranges
    part = Part(0, artifact.size, is_partial=False) if is_head else part_of(request.headers, artifact.size, etag)
    if part is None:
        raise ProblemError(
            416,
            "range-not-satisfiable",
            f"the file has {artifact.size:,} bytes",
            headers={"Content-Range": f"bytes */{artifact.size}", "Accept-Ranges": "bytes"},
        )
    headers["Content-Type"] = artifact.content_type  # Starlette would say of every text that it is UTF-8
    headers["Content-Length"] = str(part.end - part.start)
    if part.is_partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{artifact.size}"
    status = 206 if part.is_partial else 200
    if is_head or part.start == part.end:
        return Response(status_code=status, headers=headers)
    pieces = app.storage.artifacts.stream(artifact, part.start, part.end)
    try:
        first = await anext(pieces)  # so that a file that has just gone is a 404, and no broken answer
    except (FileNotFoundError, StopAsyncIteration):
        raise UnknownArtifact(artifact.job_id, artifact.name) from None
    return StreamingResponse(_chained(first, pieces), status_code=status, headers=headers)


async def _chained(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):  # so that the file is closed with the connection
        yield first
        async for piece in pieces:
            yield piece


def _disposition(name: str) -> str:
    """Content-Disposition (RFC 6266): the name in ASCII for old clients, and as it is (RFC 8187)."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _view(artifact: Artifact) -> ArtifactView:
    return ArtifactView(
        name=artifact.name,
        size=artifact.size,
        content_type=artifact.content_type,
        sha256=artifact.sha256,
        created_at=artifact.created_at,
    )


def _route_name(app: JobApp) -> str:
    return f"link of {app.main}"  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)
