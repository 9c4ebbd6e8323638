"""A folder of an IMAP server as a mailbox (RFC 3501, RFC 4315, RFC 6851). Python's `imaplib`, in a thread.

A message that waits has not the flag `\\Seen`. Reading does not set it (`BODY.PEEK`); it is set when what the message
says was recorded.
"""

from __future__ import annotations

import asyncio
import imaplib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, TypeVar, cast

from celeriac.families.email.errors import MailboxUnavailable
from celeriac.families.email.inbound.mail import READ_BYTES
from celeriac.families.email.inbound.mailbox import Letter, Mailbox, MailboxPlace

T = TypeVar("T")

_open_folder, _hang_up = imaplib.IMAP4.select, imaplib.IMAP4.shutdown


class ImapFolder(Mailbox):
    """A folder, open between `async with` and its end."""

    def __init__(self, place: MailboxPlace, context: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._context = context or ssl.create_default_context()
        self._client: imaplib.IMAP4 | None = None
        self._offered = frozenset[str]()

    async def __aenter__(self) -> Self:
        try:
            await self._do(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(_leave, client)

    async def waiting(self) -> AsyncIterator[Letter]:
        for uid in await self._do(self._unseen):
            raw = await self._do(lambda uid=uid: self._fetch(uid))
            if raw is not None:
                yield Letter(uid, raw)

    async def done(self, letter: Letter) -> None:
        await self._do(lambda: self._mark(letter.name))

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (imaplib.IMAP4.error, OSError) as error:
            told = (str(error) or type(error).__name__).replace(self._place.password or "\0", "***")
            raise MailboxUnavailable(str(self._place), told[:300]) from None

    def _open(self) -> None:
        place = self._place
        if place.tls:
            client: imaplib.IMAP4 = imaplib.IMAP4_SSL(
                place.host, place.port, ssl_context=self._context, timeout=place.timeout
            )
        else:
            client = imaplib.IMAP4(place.host, place.port, timeout=place.timeout)
        self._client = client
        if place.starttls:
            client.starttls(self._context)
        client.login(place.user, place.password)
        lines = _checked(client.capability())  # imaplib has what was offered before the login
        self._offered = frozenset(b" ".join(line or b"" for line in lines).decode("ascii", "replace").upper().split())
        _checked(_open_folder(client, _quoted(place.path)))

    def _unseen(self) -> list[str]:
        (found,) = _checked(self._connected().uid("SEARCH", "UNSEEN"))
        return [uid.decode() for uid in (found or b"").split()]

    def _fetch(self, uid: str) -> bytes | None:
        for item in _checked(self._connected().uid("FETCH", uid, f"(BODY.PEEK[]<0.{READ_BYTES}>)")):
            if isinstance(item, tuple):
                return cast(bytes, item[1])
        return None

    def _mark(self, uid: str) -> None:
        client = self._connected()
        _checked(client.uid("STORE", uid, "+FLAGS.SILENT", "(\\Seen)"))
        if self._place.move is None:
            return
        if "MOVE" in self._offered:
            _checked(client.uid("MOVE", uid, _quoted(self._place.move)))
        else:
            _checked(client.uid("COPY", uid, _quoted(self._place.move)))
            _checked(client.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)"))
            if "UIDPLUS" in self._offered:  # else it would delete what others have marked, too
                _checked(client.uid("EXPUNGE", uid))

    def _connected(self) -> imaplib.IMAP4:
        if self._client is None:
            raise OSError("not connected")
        return self._client


def _checked(reply: tuple[str, list[Any]]) -> list[Any]:
    kind, data = reply
    if kind != "OK":
        raise imaplib.IMAP4.error(b" ".join(item for item in data if isinstance(item, bytes)).decode(errors="replace"))
    return data


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _leave(client: imaplib.IMAP4) -> None:
    try:
        client.logout()
    except (imaplib.IMAP4.error, OSError):
        _hang_up(client)
