"""Files of jobs that a mailing attaches or shows: found when it is submitted, and encoded once for each of its chunks.

All mails of a mailing have the same files. So a file that was replaced meanwhile stops the mailing.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field

from celeriac.core.errors import UnknownArtifact
from celeriac.engine.app import JobApp
from celeriac.families.email.errors import AttachmentGone, AttachmentInvalid
from celeriac.families.email.message import ATTACHED_END, IMAGES_END, attachment_head
from celeriac.families.email.model import Mailing

#: Most files of one mailing.
MOST = 10
#: Mails with attachments that a process sends at the same time: each is in memory while it is sent.
_AT_ONCE = 4
#: Bytes that are encoded at a time: whole lines of 57 bytes, which base64 makes 76 of.
_LINES = 57 * 8_192


class AttachmentChoice(BaseModel):
    """A file that a job has made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str = Field(min_length=1, max_length=128, description="The job's id")
    name: str = Field(min_length=1, max_length=200, description="The name of its artifact")


@dataclass(slots=True)
class _Encoded:
    """The encoded files of one mailing, for as long as a chunk of it is sent."""

    loading: asyncio.Future[bytes]
    users: int = 0


@dataclass(slots=True)
class _Loop:
    """What the chunks in one event loop share."""

    encoded: dict[str, _Encoded] = field(default_factory=dict[str, _Encoded])
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))


class Attachments:
    """Finds and encodes the files of mailings."""

    def __init__(self, app: JobApp, most_mb: int) -> None:
        """`most_mb` bounds the files of one mailing together, in megabytes."""
        self._app = app
        self._most_mb = most_mb
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()

    async def find(
        self, chosen: Sequence[AttachmentChoice], images: Mapping[str, AttachmentChoice] | None = None
    ) -> list[dict[str, Any]]:
        """Look the files up: those to attach, and those that the HTML shows. Return what the ledger keeps of them.

        Raises:
            AttachmentInvalid: there is no such file, an image is none, or they are too large.
            NotInstalled: the extra `storage` is not installed.
        """
        found: list[dict[str, Any]] = []
        left = self._most_mb * 1_000_000
        wanted = [(place, choice, None) for place, choice in enumerate(chosen)]
        wanted += [(name, choice, name) for name, choice in (images or {}).items()]
        for place, choice, cid in wanted:
            try:
                file = await self._app.storage.artifacts.get(choice.job, choice.name)
            except UnknownArtifact:
                raise AttachmentInvalid(place, f"job {choice.job[:64]!r} has no file {choice.name[:80]!r}") from None
            if cid is not None and not file.content_type.startswith("image/"):
                raise AttachmentInvalid(place, f"{choice.name[:80]!r} is no image, but {file.content_type}")
            left -= file.size
            if left < 0:
                raise AttachmentInvalid(
                    place, f"the attachments have more than {self._most_mb} MB (CELERIAC_MAIL_ATTACHMENTS_MB)"
                )
            told = {"job": file.job_id, "name": file.name, "size": file.size, "sha256": file.sha256}
            found.append(told if cid is None else {**told, "cid": cid})
        return found

    @asynccontextmanager
    async def encoded(self, mailing: Mailing) -> AsyncGenerator[bytes]:
        """Give the end of each of the mailing's messages. Chunks that run at the same time share it.

        Raises:
            AttachmentGone: a file was deleted, or replaced.
            StorageUnavailable: a file cannot be read now.
        """
        if not mailing.attachments:
            yield b""
            return
        shared = self._here.encoded
        one = shared.get(mailing.id)
        if one is None:
            one = shared[mailing.id] = _Encoded(asyncio.ensure_future(self._load(mailing.attachments)))
        one.users += 1
        try:
            yield await asyncio.shield(one.loading)
        finally:
            one.users -= 1
            if not one.users:
                one.loading.cancel()
                shared.pop(mailing.id, None)

    @property
    def slots(self) -> asyncio.Semaphore:
        """Bounds how many mails with attachments are sent at the same time."""
        return self._here.slots

    @property
    def _here(self) -> _Loop:
        return self._loops.setdefault(asyncio.get_running_loop(), _Loop())

    async def _load(self, attachments: Sequence[dict[str, Any]]) -> bytes:
        images = [told for told in attachments if told.get("cid")]
        files = [told for told in attachments if not told.get("cid")]
        parts = bytearray()
        for told in images:
            await self._add(parts, told)
        parts += IMAGES_END if images else b""
        for told in files:
            await self._add(parts, told)
        return bytes(parts) + (ATTACHED_END if files else b"")

    async def _add(self, parts: bytearray, told: dict[str, Any]) -> None:
        try:
            file = await self._app.storage.artifacts.get(told["job"], told["name"])
            if file.sha256 != told["sha256"]:
                raise AttachmentGone(f"{told['name']} of job {told['job']} was replaced after the submission")
            parts += attachment_head(file.name, file.content_type, told.get("cid"))
            rest = b""
            async for piece in self._app.storage.artifacts.stream(file):
                rest += piece
                whole = len(rest) - len(rest) % _LINES
                if whole:
                    parts += await asyncio.to_thread(_base64, rest[:whole])
                    rest = rest[whole:]
            parts += _base64(rest)
        except (UnknownArtifact, FileNotFoundError):
            raise AttachmentGone(f"{told['name']} of job {told['job']} is gone") from None


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")
