"""Problem details: every error of the API as RFC 9457 describes it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from celeriac.core.errors import (
    BrokerUnavailable,
    CeleriacError,
    IdempotencyConflict,
    InvalidArguments,
    UnknownJob,
    UnknownTask,
    WrongState,
)

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[CeleriacError], int] = {
    InvalidArguments: 422,
    UnknownTask: 404,
    UnknownJob: 404,
    IdempotencyConflict: 409,
    WrongState: 409,
    BrokerUnavailable: 503,
}


class Problem(BaseModel):
    """A problem (RFC 9457). `type` is a URN that programs may compare; `detail` is for people."""

    type: str = Field(examples=["urn:celeriac:problem:unknown-job"])
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(default=None, description="One entry per fault of the input")


class ProblemError(Exception):
    """Raise inside an endpoint to answer with a problem of its own."""

    def __init__(self, status: int, kind: str, detail: str, errors: Sequence[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors


def problem(
    status: int,
    kind: str,
    detail: str,
    *,
    errors: Sequence[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response. `kind` is the last part of its type."""
    body: dict[str, Any] = {
        "type": f"urn:celeriac:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = list(errors)
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def as_problem(error: Exception) -> JSONResponse | None:
    """The response that `error` stands for, or None for one that is a fault of the server's."""
    if isinstance(error.__cause__, ProblemError):  # FastAPI wraps what goes wrong while it reads a body
        error = error.__cause__
    if isinstance(error, ProblemError):
        return problem(error.status, error.kind, error.detail, errors=error.errors)
    if isinstance(error, InvalidArguments):
        return problem(422, "invalid-arguments", str(error), errors=_located(error.errors))
    if isinstance(error, RequestValidationError):
        return _invalid_request(error)
    if isinstance(error, HTTPException):
        return problem(error.status_code, "http", str(error.detail), headers=dict(error.headers or {}))
    for known, status in _STATUS.items():
        if isinstance(error, known):
            headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return problem(status, _kebab(known.__name__), str(error), headers=headers)
    return None


async def answer_with_problem(_: Request, error: Exception) -> Response:
    """Exception handler for a whole application: what no route of ours answers, a wrong path say."""
    return as_problem(error) or problem(500, "internal", "an error on the server's side; it has been logged")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What to tell OpenAPI about the problems an endpoint may answer with."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _invalid_request(error: RequestValidationError) -> JSONResponse:
    faults = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem(400, "invalid-json", "the body is not valid JSON", errors=faults)
    shown = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:5])
    return problem(422, "invalid-request", shown, errors=faults)


def _located(errors: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**error, "loc": ["body", *error["loc"]]} for error in errors]


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
