"""The HTTP routes of suppressed addresses: list, add, remove, import and export."""

from __future__ import annotations

import asyncio
import tempfile
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from celeriac.families.email.address import MAX_OCTETS, identity, parse_address
from celeriac.families.email.suppression import LIST_NAME, Reason, Suppression, Suppressions
from celeriac.families.email.suppression_csv import check_suppressions, read_suppressions, write_suppressions
from celeriac.http.auth import caller
from celeriac.http.jobs import NO_NULL
from celeriac.http.problems import ProblemError, responses

ListName = Annotated[str | None, NO_NULL, Query(pattern=LIST_NAME, description="A list; without it: all mail")]


class SuppressionJson(BaseModel):
    """An address that is to get no more mail."""

    model_config = ConfigDict(extra="forbid", title="SuppressionRequest")

    email: str = Field(max_length=MAX_OCTETS)
    list_name: str | None = Field(default=None, pattern=LIST_NAME, description="Of this list; without it: no mail")
    reason: Reason = Reason.MANUAL


class SuppressionView(BaseModel):
    """An address that gets no more mail."""

    email: str = Field(description="In lower case")
    list_name: str | None = Field(description="Of this list; null: of none")
    reason: Reason
    source: str = Field(description="Who said so: an API key's name, a mailing, a provider")
    created_at: int = Field(description="Milliseconds since the epoch")


class SuppressionPage(BaseModel):
    """Suppressed addresses, in alphabetical order."""

    suppressions: list[SuppressionView]
    next: str | None = Field(description="Pass it as `after` for the next page; null: there is none")


class Imported(BaseModel):
    """What an import has read."""

    rows: int = Field(description="Rows with an address; those that were suppressed before are among them")


def add_suppression_routes(router: APIRouter, suppressions: Suppressions) -> None:
    """Add the routes to `router`."""
    _add_one(router, suppressions)
    _add_many(router, suppressions)


def _add_one(router: APIRouter, suppressions: Suppressions) -> None:
    @router.get(
        "/suppressions",
        response_model=SuppressionPage,
        summary="Addresses that get no more mail",
        responses=responses(422, 503),
    )
    async def list_suppressions(
        email: Annotated[str | None, NO_NULL, Query(max_length=MAX_OCTETS, description="Only this address")] = None,
        list_name: ListName = None,
        after: Annotated[str | None, NO_NULL, Query(max_length=450)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Any:
        if email is not None:
            found = [one for one in await suppressions.of(email) if list_name in (None, one.list_name)]
            return SuppressionPage(suppressions=[_view(one) for one in found], next=None)
        address, _, name = (after or "").partition(" ")
        found = await suppressions.page((address, name), size=limit + 1, list_name=list_name)
        page = found[:limit]
        following = f"{page[-1].address} {page[-1].list_name}" if len(found) > limit else None
        return SuppressionPage(suppressions=[_view(one) for one in page], next=following)

    @router.post(
        "/suppressions",
        status_code=201,
        response_model=SuppressionView,
        summary="Suppress an address",
        responses={200: {"model": SuppressionView}, **responses(400, 413, 422, 503)},
    )
    async def add_suppression(request: Request, response: Response, given: SuppressionJson) -> Any:
        """The answer is 201, or 200 with what there was if the address is suppressed already."""
        address, list_name = _parsed(given.email), given.list_name or ""
        entry = Suppression(address, list_name, given.reason, caller(request) or "api", int(time.time() * 1000))
        response.status_code = 201 if await suppressions.add(entry) else 200
        for one in await suppressions.of(address):
            if one.list_name == list_name:
                return _view(one)
        return _view(entry)  # it was removed at the same time

    @router.delete(
        "/suppressions/{email:path}",  # a local part may have slashes
        status_code=204,
        response_model=None,  # FastAPI 0.115 takes the annotation `None` for a body
        summary="Let an address get mail again",
        responses=responses(404, 422, 503),
    )
    async def remove_suppression(email: str, list_name: ListName = None) -> None:
        if not await suppressions.remove(email, list_name or ""):
            where = f"for the list {list_name}" if list_name else "for all mail"
            raise ProblemError(404, "not-suppressed", f"{email[:MAX_OCTETS]} is not suppressed {where}")


def _add_many(router: APIRouter, suppressions: Suppressions) -> None:
    @router.get(
        "/suppressions.csv",
        summary="Export the suppressed addresses",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/csv": {}}}, **responses(422, 503)},
    )
    async def export_suppressions(list_name: ListName = None) -> StreamingResponse:
        """One row for each: email, list, reason, source, created. An import takes this file."""
        return StreamingResponse(
            write_suppressions(suppressions.all(list_name)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="suppressions.csv"'},
        )

    @router.post(
        "/suppressions.csv",
        response_model=Imported,
        summary="Import suppressed addresses",
        openapi_extra={
            "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}},
        },
        responses=responses(413, 415, 422, 503),
    )
    async def import_suppressions(request: Request, list_name: ListName = None) -> Any:
        """Send the file as the body: CSV in UTF-8 with a header row, and a column `email`.

        The columns `list` and `reason` may be there too. A fault in any row is answered with 422, and nothing is
        imported.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("text/csv", "text/plain", "application/octet-stream"):
            raise ProblemError(415, "unsupported-media-type", "send the file itself, with Content-Type: text/csv")
        source = caller(request) or "import"
        with tempfile.TemporaryFile() as file:
            async for piece in request.stream():
                await asyncio.to_thread(file.write, piece)
            file.seek(0)
            await asyncio.to_thread(check_suppressions, file, list_name or "")
            return Imported(rows=await suppressions.add_all(read_suppressions(file, list_name or "", source)))


def _view(one: Suppression) -> SuppressionView:
    return SuppressionView(
        email=one.address,
        list_name=one.list_name or None,
        reason=one.reason,
        source=one.source,
        created_at=one.created_at,
    )


def _parsed(email: str) -> str:
    try:
        return identity(parse_address(email.strip()))
    except ValueError as error:
        raise RequestValidationError([{"loc": ("body", "email"), "msg": str(error), "type": "value_error"}]) from None
