"""Where files are kept: a folder, or a bucket of S3, GCS or Azure. One interface for all, by obstore.

Every path is written aside and appears at once, complete: a folder renames, and a bucket shows an object
when its last part has been accepted.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError
from obstore.store import from_url

from celeriac.core.errors import ConfigurationError, StorageFull, StorageUnavailable
from celeriac.settings import check_storage_url
from celeriac.storage.reading import read_file
from celeriac.storage.threads import in_thread
from celeriac.storage.writers import BucketWriter, FolderWriter, PieceWriter

T = TypeVar("T")

_RETRYING_S = 20.0
#: How long the storage may take for a piece of a file, and for what is no file's content.
_CONTENT_S = 60.0
_ANSWER_S = 10.0
_LISTED_AT_ONCE = 1000


class PathTaken(Exception):
    """There is a file at that path already."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as it is kept: its path, its size in bytes, and when it was written."""

    path: str
    size: int
    modified: datetime


class Location:
    """A folder or a bucket. Every method may raise `StorageUnavailable`, every writing one `StorageFull`.

    Safe to share by all threads and event loops of a process. It connects when it is first used.
    """

    def __init__(self, url: str, *, reserve_bytes: int = 0) -> None:
        """`url` is `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`.

        Credentials and endpoints of a bucket come from the variables that its own tools read (`AWS_ACCESS_KEY_ID`,
        `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on).
        `reserve_bytes` stay free on the disk of a folder.

        Raises:
            ConfigurationError: the URL is not understood.
        """
        try:
            check_storage_url(url)
        except ValueError as error:
            raise ConfigurationError(f"CELERIAC_STORAGE_URL={shown(url)}: {error}") from None
        self.url = url
        self.folder = Path(unquote(urlsplit(url).path)) if urlsplit(url).scheme == "file" else None
        self._reserve_bytes = reserve_bytes
        self._stores: dict[float, Any] = {}

    def __repr__(self) -> str:
        return f"Location({shown(self.url)!r})"

    async def size(self, path: str) -> int | None:
        """The size of the file at `path`, in bytes; None if there is none."""
        meta = await self._told(obstore.head, path)
        return None if meta is None else int(meta["size"])

    async def read(self, path: str) -> bytes | None:
        """The content of a small file; None if there is none."""
        return await self._told(lambda store, path: bytes(obstore.get(store, path).bytes()), path)

    async def stream(self, path: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` up to and without `end`, in pieces of about a megabyte.

        Raises:
            FileNotFoundError: there is no file at `path`.
        """
        with self.naming_faults():
            if self.folder is None:
                pieces = self._from_bucket(path, start, end)
            else:
                pieces = read_file(self.folder / path, start, end)
            async with aclosing(pieces):  # so that its file is closed with this one
                async for piece in pieces:
                    yield piece

    async def _from_bucket(self, path: str, start: int, end: int | None) -> AsyncGenerator[bytes]:
        reach: dict[str, Any] = {}
        if end is not None:
            reach = {"range": (start, end)}
        elif start:
            reach = {"range": {"offset": start}}
        found = await in_thread(obstore.get, self.store(), path, options=reach)
        pieces = iter(found.stream(min_chunk_size=1_048_576))
        while (piece := await in_thread(_next, pieces)) is not None:
            yield bytes(piece)

    async def put(self, path: str, content: bytes, *, replace: bool = True) -> None:
        """Write a small file at once.

        Raises:
            PathTaken: there is one at `path`, and it is not to be replaced.
        """
        self.check_room(len(content))
        with self.naming_faults():
            try:
                mode = "overwrite" if replace else "create"
                await self._in_time(obstore.put, self.store(_ANSWER_S), path, content, mode=mode)
            except AlreadyExistsError:
                raise PathTaken(path) from None

    def writer(self, path: str) -> PieceWriter:
        """A writer of a large file, which appears at `path` when it is closed."""
        return BucketWriter(self, path) if self.folder is None else FolderWriter(self, self.folder, path)

    async def delete(self, paths: Sequence[str]) -> None:
        """Delete files. Those that are not there are passed over."""
        for path in paths:
            with self.naming_faults():
                try:
                    await in_thread(obstore.delete, self.store(_ANSWER_S), path)
                except FileNotFoundError:
                    continue

    async def list(self, prefix: str) -> AsyncGenerator[Stored]:
        """Yield every file below the folder `prefix`, in no order."""
        with self.naming_faults():
            listing: Any = obstore.list(self.store(_ANSWER_S), prefix, chunk_size=_LISTED_AT_ONCE)  # pyright: ignore[reportUnknownMemberType]
            while (found := await self._in_time(_next, listing)) is not None:
                for meta in found:
                    yield Stored(str(meta["path"]), int(meta["size"]), meta["last_modified"])

    def check_room(self, size: int) -> None:
        """Raise `StorageFull` if `size` more bytes would leave less than the reserve on the disk of a folder."""
        if self.folder is None or not self._reserve_bytes:
            return
        free = shutil.disk_usage(_existing(self.folder)).free
        if free - size < self._reserve_bytes:
            raise StorageFull(
                f"the disk of {self.folder} has {free:,} bytes free, of which {self._reserve_bytes:,} are a reserve "
                "(CELERIAC_STORAGE_RESERVE_BYTES): make room there, or set CELERIAC_STORAGE_URL to another place"
            )

    def delete_aside(self, prefixes: Sequence[str], older_than: timedelta, now: datetime) -> list[Stored]:
        """Delete what killed writers have left below the folders `prefixes`: files that `list` does not show."""
        deleted: list[Stored] = []
        for found in self._aside(prefixes):
            with suppress(FileNotFoundError):  # its writer has just published it
                facts = found.lstat()
                modified = datetime.fromtimestamp(facts.st_mtime, UTC)
                if stat.S_ISREG(facts.st_mode) and now - modified > older_than:
                    found.unlink()
                    deleted.append(Stored(str(found), facts.st_size, modified))
        return deleted

    def _aside(self, prefixes: Sequence[str]) -> Iterator[Path]:
        """Files `NAME#NUMBER`, which are renamed to `NAME`. obstore takes no `#`, so no file is named so for good."""
        if self.folder is None:
            return
        for prefix in prefixes:
            for found in (self.folder / prefix).rglob("*#*"):
                if found.name.rpartition("#")[2].isdecimal():
                    yield found

    def drop_empty_folders(self, prefix: str, older_than: timedelta, now: datetime) -> None:
        """Delete folders below `prefix` that have been empty for so long; buckets have none.

        One that is new may be about to get a file.
        """
        if self.folder is None:
            return
        horizon = (now - older_than).timestamp()
        for folder, _, _ in os.walk(self.folder / prefix, topdown=False):
            with suppress(OSError):  # it is not empty
                if Path(folder) != self.folder / prefix and Path(folder).lstat().st_mtime < horizon:
                    Path(folder).rmdir()

    async def _told(self, ask: Callable[[Any, str], T], path: str) -> T | None:
        with self.naming_faults():
            try:
                return await self._in_time(ask, self.store(_ANSWER_S), path)
            except FileNotFoundError:
                return None

    async def _in_time(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Await the answer to a small request: what waits for it is a caller of the API, or a job."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await in_thread(call, *arguments, **options)
        except TimeoutError:
            raise StorageUnavailable(shown(self.url), f"it did not answer within {_ANSWER_S:g} s") from None

    def store(self, patience_s: float = _CONTENT_S) -> Any:
        """Obstore's own object, which is made at the first use. It gives up a request after so many seconds."""
        if patience_s not in self._stores:
            self.make_folder()
            options = {} if self.folder else _bucket_options(patience_s)
            self._stores[patience_s] = from_url(self.url, **options)
        return self._stores[patience_s]

    def make_folder(self, name: str = "") -> None:
        """Make the folder, or one in it, unless it is there. Only its owner may look into one that is made here."""
        if self.folder is not None:
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def naming_faults(self) -> Generator[None]:
        """Say where a fault of the storage is, in one line."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, GenericError, OSError) as error:
            reason = str(error).partition("\n")[0]
            # ENOSPC, EDQUOT: as obstore tells them, or as Python does
            if "os error 28" in reason or "os error 122" in reason or is_full(error):
                raise StorageFull(f"there is no room left in {shown(self.url)}") from error
            raise StorageUnavailable(shown(self.url), reason) from error


def _bucket_options(patience_s: float) -> dict[str, Any]:
    return {
        "client_options": {
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=patience_s),
            "allow_http": True,  # an endpoint of one's own may be on the same machine; the providers' are https
        },
        "retry_config": {"max_retries": 4, "retry_timeout": timedelta(seconds=min(patience_s, _RETRYING_S))},
    }


def _next(iterator: Iterator[Any]) -> Any:
    """What follows, or None: a thread cannot hand over a StopIteration."""
    return next(iterator, None)


def is_full(error: BaseException) -> bool:
    """Whether Python found no room on a disk, or the user's share of it used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def shown(url: str) -> str:
    """The URL without credentials, for people."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _existing(folder: Path) -> Path:
    """The nearest folder above that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
