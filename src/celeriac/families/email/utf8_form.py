"""Reads forms in UTF-8, whatever they say of themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from celeriac.http.problems import ProblemError


class _Utf8Form(MultiPartParser):
    """A parser of forms in UTF-8. Starlette's obeys the sender's charset, and decodes faulty bytes as Latin-1."""

    def on_part_end(self) -> None:
        part = self._current_part
        if part.file is None:
            try:
                part.data.decode()
            except UnicodeDecodeError:
                raise invalid_field(part.field_name, "is not UTF-8") from None
        super().on_part_end()


@asynccontextmanager
async def utf8_form(request: Request, most: int) -> AsyncGenerator[FormData]:
    """Read a form of at most so many fields and one file, which stays open inside the block.

    Raises:
        RequestValidationError, ProblemError, HTTPException: it is no form, or not in UTF-8.
    """
    _, parameters = parse_options_header(request.headers["content-type"])
    if parameters.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise ProblemError(415, "unsupported-media-type", "send the form in UTF-8")
    parser = _Utf8Form(request.headers, request.stream(), max_files=1, max_fields=most)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    try:
        yield form
    finally:
        await form.close()


def invalid_field(field: str, message: str) -> RequestValidationError:
    """Make the error for a field of the request."""
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])
