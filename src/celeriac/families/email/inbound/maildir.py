"""A maildir as a mailbox (https://cr.yp.to/proto/maildir.html): new messages in `new`, those that are done in `cur`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from celeriac.families.email.errors import MailboxUnavailable
from celeriac.families.email.inbound.mail import READ_BYTES
from celeriac.families.email.inbound.mailbox import Letter, Mailbox

_SEEN = ":2,S"


class Maildir(Mailbox):
    """A folder with `new` and `cur` in it."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            MailboxUnavailable: it is no maildir.
        """
        self._new, self._done = folder / "new", folder / "cur"
        if not self._new.is_dir() or not self._done.is_dir():
            raise MailboxUnavailable(str(folder), "it is no maildir: `new` or `cur` is missing")

    async def waiting(self) -> AsyncIterator[Letter]:
        try:
            for name in await asyncio.to_thread(self._names):
                raw = await asyncio.to_thread(_read, self._new / name)
                if raw is not None:
                    yield Letter(name, raw)
        except OSError as error:
            raise MailboxUnavailable(str(self._new), error.strerror or "cannot be read") from None

    async def done(self, letter: Letter) -> None:
        try:
            await asyncio.to_thread((self._new / letter.name).replace, self._done / f"{letter.name}{_SEEN}")
        except FileNotFoundError:
            pass  # another worker had it too
        except OSError as error:
            raise MailboxUnavailable(str(self._done), error.strerror or "cannot be written") from None

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._new.iterdir() if not path.name.startswith("."))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES)
    except (FileNotFoundError, IsADirectoryError):
        return None
