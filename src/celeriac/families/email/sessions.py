"""Keeps connections to mail servers for a moment, so that the next chunk need not greet, encrypt and log in again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from celeriac.core.background import background
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import SmtpServer

#: Seconds after which an unused connection is closed. Servers close theirs after some minutes (RFC 5321, 4.5.3.2.7).
_IDLE_S = 5.0
#: Unused connections to one server at most.
_MOST = 20

_Idle = dict[SmtpServer, list[tuple[SmtpSession, asyncio.Task[None]]]]


class Sessions:
    """The connections of one process that nobody uses for the moment. Each event loop has its own."""

    def __init__(self, idle_seconds: float = _IDLE_S) -> None:
        self._idle_seconds = idle_seconds
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()

    @asynccontextmanager
    async def use(self, server: SmtpServer) -> AsyncGenerator[SmtpSession]:
        """Yield a session for this block: one that is connected already, or a new one.

        It is kept afterwards, unless the block fails. If connections to the server are limited, others wait for it, so
        it is closed.
        """
        session = self._taken(server) or SmtpSession(server)
        try:
            yield session
        except BaseException:
            await session.close()
            raise
        idle = self._idle(server)
        if server.concurrency is None and session.is_between_messages and len(idle) < _MOST:
            idle.append((session, background(self._close_later(session))))
        else:
            await session.close()

    def _idle(self, server: SmtpServer) -> list[tuple[SmtpSession, asyncio.Task[None]]]:
        return self._loops.setdefault(asyncio.get_running_loop(), {}).setdefault(server, [])

    def _taken(self, server: SmtpServer) -> SmtpSession | None:
        """Take the connection that was used last. The others may be closed as too many."""
        idle = self._idle(server)
        if not idle:
            return None
        session, closing = idle.pop()
        closing.cancel()
        return session

    async def _close_later(self, session: SmtpSession) -> None:
        try:
            await asyncio.sleep(self._idle_seconds)
        finally:  # the loop may end
            idle = self._idle(session.server)
            kept = [entry for entry in idle if entry[0] is not session]
            if len(kept) < len(idle):
                idle[:] = kept
                await session.close()
