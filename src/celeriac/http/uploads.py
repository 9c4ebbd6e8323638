"""Uploads: files that callers send, at once or in parts that resume (tus 1.0.0, tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote
from wsgiref.handlers import format_date_time

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from celeriac.core.errors import UnknownUpload
from celeriac.engine.app import JobApp
from celeriac.http.auth import caller
from celeriac.http.jobs import NO_NULL, Cursor
from celeriac.http.problems import ProblemError, responses
from celeriac.http.route import Pace, bounded_route
from celeriac.http.upload_forms import digest, from_form
from celeriac.storage.uploads import Upload

UploadId = Annotated[str, Path(description="The upload's id", max_length=128)]

_VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,expiration,termination"
_PART = "application/offset+octet-stream"


class UploadView(BaseModel):
    """A file that a caller has sent, or is sending."""

    id: str
    name: str
    size: int = Field(description="In bytes, as announced")
    offset: int = Field(description="How many bytes have arrived")
    complete: bool = Field(description="Whether all of it has arrived and has been checked")
    content_type: str | None = Field(description="Its media type, found by its first bytes once it is complete")
    sha256: str | None = Field(description="The digest of its content: as announced, or once it is complete")
    created_at: datetime
    expires_at: datetime


class UploadPage(BaseModel):
    """Some of the caller's uploads, newest first. `next` is the cursor of the next page, or null."""

    uploads: list[UploadView]
    next: str | None


def create_uploads_router(app: JobApp, **options: Any) -> APIRouter:
    """The upload resource, to include under `/uploads`. `options` are `fastapi.APIRouter`'s."""
    options.setdefault("tags", ["uploads"])
    # A part may be as large as a file; the storage counts while it writes.
    settings = app.settings
    pace = Pace(settings.request_timeout, settings.min_upload_rate, longest_s=settings.upload_retention)
    router = APIRouter(route_class=bounded_route(settings.max_file_bytes, pace=pace), **options)
    _add_creation(router, app)
    _add_continuation(router, app)
    _add_reading(router, app)
    return router


def _add_creation(router: APIRouter, app: JobApp) -> None:
    @router.options("", summary="What this server can do of tus", status_code=204, include_in_schema=False)
    async def describe() -> Response:
        headers = {
            "Tus-Resumable": _VERSION,
            "Tus-Version": _VERSION,
            "Tus-Extension": _EXTENSIONS,
            "Tus-Max-Size": str(app.settings.max_file_bytes),
        }
        return Response(status_code=204, headers=headers)

    @router.post(
        "",
        status_code=201,
        response_model=UploadView,
        summary="Send a file, or announce one that comes in parts",
        openapi_extra={**_openapi_body(), **_openapi_version(required=False)},
        responses=responses(400, 408, 409, 412, 413, 415, 422, 503, 507),
    )
    async def create(
        request: Request,
        response: Response,
        upload_length: Annotated[int | None, NO_NULL, Header(ge=0)] = None,
        upload_metadata: Annotated[str | None, NO_NULL, Header(max_length=4000)] = None,
    ) -> Any:
        """Either a form (`multipart/form-data`) with one file, or the headers of tus: `Tus-Resumable`, `Upload-Length`,
        and `Upload-Metadata` with `filename` and, if the whole is to be checked, `sha256` in hexadecimal digits.
        """
        uploads = app.storage.uploads
        if _kind(request) == "multipart/form-data":
            upload = await from_form(request, uploads, app.settings.storage_reserve_bytes)
        elif upload_length is None:
            detail = "send a form with a file, or say how large the file is: `Upload-Length`, in bytes"
            raise ProblemError(400, "length-missing", detail)
        else:
            _check_version(request)
            told = _metadata(upload_metadata or "")
            upload = await uploads.begin(
                told.get("filename") or "unnamed", upload_length, owner=caller(request), sha256=digest(told)
            )
            if _kind(request) == _PART:
                upload = await uploads.append(upload, 0, request.stream())
        response.headers.update(_headers(app, upload))
        response.headers["Location"] = quote(f"{request.url.path.rstrip('/')}/{upload.id}")
        return _view(app, upload)


def _add_continuation(router: APIRouter, app: JobApp) -> None:
    @router.patch(
        "/{upload_id}",
        status_code=204,
        summary="Send the next part of a file",
        openapi_extra={
            "requestBody": {"content": {_PART: {"schema": {"type": "string", "format": "binary"}}}},
            **_openapi_version(required=True),
        },
        responses=responses(400, 404, 408, 409, 412, 413, 415, 422, 503, 507),
    )
    async def append(upload_id: UploadId, request: Request, upload_offset: Annotated[int, Header(ge=0)]) -> Response:
        """Of a request that breaks, what has arrived is kept: `HEAD` says where to go on."""
        _check_version(request)
        if _kind(request) != _PART:
            raise ProblemError(415, "unsupported-media-type", f"send a part with Content-Type: {_PART}")
        upload = await _own(app, request, upload_id)
        done = await app.storage.uploads.append(upload, upload_offset, request.stream())
        return Response(status_code=204, headers=_headers(app, done))

    @router.head(
        "/{upload_id}",
        response_class=Response,
        summary="How far an upload is",
        openapi_extra=_openapi_version(required=True),
        responses=responses(404, 412, 422, 503, 507),
    )
    async def offset(upload_id: UploadId, request: Request) -> Response:
        _check_version(request)
        upload = await _completed(app, request, upload_id)
        headers = {**_headers(app, upload), "Upload-Length": str(upload.size), "Cache-Control": "no-store"}
        return Response(status_code=200, headers=headers)

    @router.delete(
        "/{upload_id}",
        status_code=204,
        summary="Delete an upload",
        openapi_extra=_openapi_version(required=True),
        responses=responses(404, 412, 422, 503),
    )
    async def delete(upload_id: UploadId, request: Request) -> Response:
        _check_version(request)
        await _own(app, request, upload_id)
        await app.storage.uploads.delete(upload_id)
        return Response(status_code=204, headers={"Tus-Resumable": _VERSION})


def _add_reading(router: APIRouter, app: JobApp) -> None:
    @router.get("", response_model=UploadPage, summary="List the caller's uploads", responses=responses(422, 503))
    async def list_uploads(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[Cursor | None, NO_NULL, Query(description="`next` of the previous page")] = None,
    ) -> Any:
        found, following = await app.storage.uploads.page(caller(request), limit=limit, cursor=cursor)
        return UploadPage(uploads=[_view(app, upload) for upload in found], next=following)

    @router.get("/{upload_id}", response_model=UploadView, summary="An upload", responses=responses(404, 422, 503, 507))
    async def show(upload_id: UploadId, request: Request) -> Any:
        return _view(app, await _completed(app, request, upload_id))


async def _own(app: JobApp, request: Request, upload_id: str) -> Upload:
    """The caller's upload; another's is as unknown as none."""
    upload = await app.storage.uploads.find(upload_id)
    if upload.owner != caller(request):
        raise UnknownUpload(upload_id)
    return upload


async def _completed(app: JobApp, request: Request, upload_id: str) -> Upload:
    """The caller's upload. A client takes one of which all has arrived for complete, so it is completed now."""
    await _own(app, request, upload_id)
    return await app.storage.uploads.get(upload_id)


def _metadata(header: str) -> dict[str, str]:
    """Upload-Metadata: pairs of a key and a text in Base64, separated by commas."""
    told: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            told[key.lower()] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ProblemError(400, "metadata-invalid", f"Upload-Metadata: {key[:50]!r} is no text in Base64") from None
    return told


def _check_version(request: Request) -> None:
    """Every request of tus names its version, by the specification."""
    if request.headers.get("tus-resumable") != _VERSION:
        detail = f"this server speaks tus {_VERSION}: send the header `Tus-Resumable: {_VERSION}`"
        raise ProblemError(412, "tus-version", detail, headers={"Tus-Version": _VERSION})


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _headers(app: JobApp, upload: Upload) -> dict[str, str]:
    return {
        "Tus-Resumable": _VERSION,
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": format_date_time(_expiry(app, upload).timestamp()),
    }


def _expiry(app: JobApp, upload: Upload) -> datetime:
    return upload.created_at.astimezone(UTC) + timedelta(seconds=app.settings.upload_retention)


def _view(app: JobApp, upload: Upload) -> UploadView:
    return UploadView(
        id=upload.id,
        name=upload.name,
        size=upload.size,
        offset=upload.offset,
        complete=upload.is_complete,
        content_type=upload.content_type or None,
        sha256=upload.sha256 or None,
        created_at=upload.created_at,
        expires_at=_expiry(app, upload),
    )


def _openapi_version(*, required: bool) -> dict[str, Any]:
    """The header of tus. FastAPI would answer 422 if it is missing, where tus says 412."""
    schema = {"type": "string", "enum": [_VERSION]}
    about = "Every request of tus has it" if required else "Every request of tus has it; a form need not"
    return {
        "parameters": [
            {"name": "Tus-Resumable", "in": "header", "required": required, "schema": schema, "description": about}
        ]
    }


def _openapi_body() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
        },
    }
    part = {"type": "string", "format": "binary"}
    return {"requestBody": {"content": {"multipart/form-data": {"schema": form}, _PART: {"schema": part}}}}
