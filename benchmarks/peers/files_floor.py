"""The floor for files: the least that a web application does to take a file in, to send one, and to copy one.

uvicorn benchmarks.peers.files_floor:api, with a folder in the variable BENCH_FOLDER.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import FileResponse

_PIECE_BYTES = 1_048_576

api = FastAPI()


def _path(name: str) -> Path:
    return Path(os.environ["BENCH_FOLDER"]) / name


@api.get("/ready")
async def ready() -> None: ...


@api.put("/files/{name}")
async def take(name: str, request: Request, digest: bool = False) -> str:
    """Write the body to the disk as it comes."""
    hashed = hashlib.sha256()
    with _path(name).open("wb") as file:
        async for piece in request.stream():
            if digest:
                hashed.update(piece)
            file.write(piece)
    return hashed.hexdigest()


@api.post("/form")
def take_form(file: UploadFile) -> None:
    """Write a form's file to the disk: FastAPI has kept it in a temporary file before."""
    with _path("form").open("wb") as kept:
        shutil.copyfileobj(file.file, kept, _PIECE_BYTES)


@api.get("/files/{name}")
async def send(name: str) -> FileResponse:
    return FileResponse(_path(name))


@api.post("/copies/{name}")
def copy(name: str, digest: bool = False) -> str:
    """Copy a file by reading and writing it, in a thread."""
    hashed = hashlib.sha256()
    with _path(name).open("rb") as source, _path(f"{name} copy").open("wb") as goal:
        while piece := source.read(_PIECE_BYTES):
            if digest:
                hashed.update(piece)
            goal.write(piece)
    return hashed.hexdigest()
