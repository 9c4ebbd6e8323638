"""The form with a file, as browsers and curl send it to `/uploads`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from celeriac.core.errors import StorageFull
from celeriac.http.auth import caller
from celeriac.http.problems import ProblemError
from celeriac.storage.location import is_full
from celeriac.storage.uploads import Upload, Uploads

_PIECE_BYTES = 1_048_576
_NO_ROOM = "there is no room left for temporary files: send the file in parts (tus)"
_DIGITS = "0123456789abcdef"


async def from_form(request: Request, uploads: Uploads, reserve_bytes: int) -> Upload:
    """The one file of a form. It is spooled to a temporary file first, as its size stands nowhere."""
    try:
        body = _while_there_is_room(request.stream(), reserve_bytes)
        form = await MultiPartParser(request.headers, body, max_files=1, max_fields=10).parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageFull(_NO_ROOM) from error
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not files or files[0].size is None:
            raise ProblemError(422, "file-missing", "the form has no file")
        sha256 = digest({key: value for key, value in form.multi_items() if isinstance(value, str)})
        upload = await uploads.begin(
            files[0].filename or "unnamed", files[0].size, owner=caller(request), sha256=sha256
        )
        return upload if upload.is_complete else await uploads.append(upload, 0, _pieces(files[0]))
    finally:
        await form.close()


async def _while_there_is_room(body: AsyncGenerator[bytes], reserve_bytes: int) -> AsyncGenerator[bytes]:
    """Yield the body until it would use the reserve of the disk of temporary files. Others use that disk meanwhile.

    A disk may be smaller than the reserve of the storage: a tenth of it is enough.
    """
    folder, size = tempfile.gettempdir(), 0
    async for piece in body:
        size += len(piece)
        if size > _PIECE_BYTES:  # the parser keeps what is smaller in memory
            disk = shutil.disk_usage(folder)
            if disk.free - len(piece) < min(reserve_bytes, disk.total // 10):
                raise StorageFull(_NO_ROOM)
        yield piece


async def _pieces(file: UploadFile) -> AsyncGenerator[bytes]:
    while piece := await file.read(_PIECE_BYTES):
        yield piece


def digest(told: Mapping[str, str]) -> str:
    """The announced SHA-256 of the whole; empty if there is none."""
    if "sha256" not in told:
        return ""
    found = told["sha256"].lower()
    if len(found) != 64 or found.strip(_DIGITS):
        raise ProblemError(422, "digest-invalid", "sha256 has 64 hexadecimal digits")
    return found
