"""Turns every error of the API into a problem by RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    ChecksumMismatch,
    DatabaseUnavailable,
    FileTooLarge,
    IdempotencyConflict,
    InvalidArguments,
    InvalidFileName,
    JobExists,
    JobRefused,
    LinkInvalid,
    NotInstalled,
    OffsetMismatch,
    SchemaTooNew,
    StorageFull,
    StorageUnavailable,
    SubmissionInvalid,
    TooManyFiles,
    UnknownConnection,
    UploadIncomplete,
    WrongState,
)
from celeriac.core.faults import message

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[CeleriacError], int] = {
    InvalidArguments: 422,
    UnknownConnection: 422,
    IdempotencyConflict: 409,
    JobExists: 409,
    WrongState: 409,
    OffsetMismatch: 409,
    UploadIncomplete: 409,
    TooManyFiles: 409,
    FileTooLarge: 413,
    InvalidFileName: 422,
    ChecksumMismatch: 422,
    LinkInvalid: 403,
    NotInstalled: 501,
    StorageFull: 507,
    StorageUnavailable: 503,
    BrokerUnavailable: 503,
    DatabaseUnavailable: 503,
    SchemaTooNew: 503,
}

#: Names in RFC 9110. Python before 3.13 has older ones, and a title must not depend on that.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}

#: The number of faults in an answer, and the length of each. A hostile body can have a fault in every byte.
_FAULTS_SHOWN = 20
_LONGEST_TEXT = 500


class Problem(BaseModel):
    """A problem (RFC 9457). `type` is a URN that programs may compare; `detail` is for people."""

    type: str = Field(examples=["urn:celeriac:problem:unknown-job"])
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(default=None, description="One entry for each fault of the input")


_SCHEMA = Problem.model_json_schema()


class ProblemError(Exception):
    """A problem that an endpoint raises to answer with it."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers

    def response(self) -> ProblemResponse:
        return problem(self.status, self.kind, self.detail, errors=self.errors, headers=self.headers)


class ProblemResponse(JSONResponse):
    """The response for a problem. It is ASCII: quoted input may contain lone surrogates, which UTF-8 cannot encode."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def problem(
    status: int,
    kind: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Make the response for a problem. `kind` is the last part of its type."""
    body: dict[str, Any] = {
        "type": f"urn:celeriac:problem:{kind}",
        "title": _phrase(status),
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = list(errors)
    return ProblemResponse(body, status_code=status, headers=headers)


def as_problem(error: Exception) -> ProblemResponse | None:
    """Return the response for `error`. None: it is a fault of the server, or no HTTP error."""
    if isinstance(error.__cause__, (ProblemError, RequestValidationError)):
        error = error.__cause__  # FastAPI wraps errors of reading a body
    if isinstance(error, ProblemError):
        return error.response()
    if isinstance(error, InvalidArguments):
        return _invalid("invalid-arguments", [{**fault, "loc": ["body", *fault["loc"]]} for fault in error.errors])
    if isinstance(error, RequestValidationError):
        return _invalid("invalid-request", error.errors())
    if isinstance(error, SubmissionInvalid):
        return problem(422, _kebab(type(error).__name__), str(error), errors=error.faults)
    if isinstance(error, JobRefused) and isinstance(error, LookupError):  # there is none, here or in a job family
        return problem(404, _kebab(type(error).__name__), str(error))
    if isinstance(error, HTTPException):
        return _of_http(error)
    for known, status in _STATUS.items():
        if isinstance(error, known):
            headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return problem(status, _kebab(known.__name__), str(error), headers=headers)
    return None


async def answer_with_problem(_: Request, error: Exception) -> Response:
    """Handle exceptions of a whole application that none of our routes answered: a wrong path, or a fault."""
    return as_problem(error) or problem(500, "internal", "an error occurred in the server, which has logged it")


def method_not_allowed(method: str, allowed: Sequence[str]) -> ProblemResponse:
    """Make the problem for a path that allows only other methods."""
    detail = f"{method[:20]} is not possible here; {', '.join(allowed)} is"
    return problem(405, "method-not-allowed", detail, headers={"Allow": ", ".join(allowed)})


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that an endpoint may answer with, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": _SCHEMA}}
    return {status: {"description": _phrase(status), "content": content} for status in statuses}


def _invalid(kind: str, faults: Sequence[Mapping[str, Any]]) -> ProblemResponse:
    shown = [
        {"loc": [_cut(part) for part in fault["loc"]], "msg": _cut(message(fault)), "type": fault["type"]}
        for fault in faults[:_FAULTS_SHOWN]
    ]
    detail = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in shown[:5])
    more = len(faults) - min(len(shown), 5)
    return problem(422, kind, f"{detail}; and {more} more" if more else detail, errors=shown)


def _of_http(error: HTTPException) -> ProblemResponse | None:
    if error.status_code < HTTPStatus.BAD_REQUEST:  # a redirect, say
        return None
    kind = _phrase(error.status_code).lower().replace(" ", "-").replace("'", "")
    return problem(error.status_code, kind, str(error.detail), headers=error.headers)


def _phrase(status: int) -> str:
    try:
        return _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _cut(text: Any) -> Any:
    return f"{text[:_LONGEST_TEXT]}..." if isinstance(text, str) and len(text) > _LONGEST_TEXT else text


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
