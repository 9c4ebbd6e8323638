"""Sends to a range of recipients through whichever mail server takes them, within the limits of all workers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from celeriac.core.limits import Refused
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, MailingState
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import ChunkOutcome, Sending
from celeriac.families.email.servers import Servers
from celeriac.families.email.sessions import Sessions

#: The longest sleep before another look at the limits, and at whether the mailing is still to be sent.
_LOOK_EVERY_S = 15.0
#: A longer wait is not worth the place in a worker. The mailing's job comes back when there is room.
LONGEST_WAIT_S = 60.0
_NOTHING = ChunkOutcome(sent=0, failed=0, deferred=0, reason=None)


class Courier:
    """The sender of one process. It waits where a limit is used up, and holds no connection meanwhile."""

    def __init__(self, ledger: Ledger, servers: Servers) -> None:
        self._ledger = ledger
        self._servers = servers
        self._sessions = Sessions()

    async def send(self, mailing: Mailing, first: int, last: int, how: Sending) -> ChunkOutcome:
        """Send to the open recipients at positions `first` to `last`, as `send_chunk` does, through one server or more.

        It returns early, with `again_in`, if there is no room under a limit for longer than `LONGEST_WAIT_S`.
        A server that refuses us is put aside for a while, if there are others. What the last one says counts.
        """
        so_far = _NOTHING
        while True:
            chosen = await self._servers.choose()
            if isinstance(chosen, Refused):
                if not await self._may_go_on_after(chosen.seconds, mailing):
                    return so_far
                continue
            server, connection = chosen
            quota = self._servers.quota(server)
            async with connection, self._sessions.use(server) as session:
                this = await send_chunk(self._ledger, mailing, first, last, session, replace(how, quota=quota))
                if this.unavailable:
                    await session.close()  # it refuses us: nobody needs this connection soon
            so_far = replace(this, sent=so_far.sent + this.sent, failed=so_far.failed + this.failed)
            if this.unavailable and self._servers.set_aside(server):
                continue
            if this.again_in is None:
                return so_far
            if this.again_in > LONGEST_WAIT_S:
                if not this.by_domain and self._servers.set_aside(server):
                    continue
                return so_far
            if not await self._may_go_on_after(this.again_in, mailing):
                return so_far

    async def _may_go_on_after(self, seconds: float, mailing: Mailing) -> bool:
        await asyncio.sleep(min(seconds, _LOOK_EVERY_S))
        return await self._ledger.life.mark_alive(mailing.id) is MailingState.SENDING
