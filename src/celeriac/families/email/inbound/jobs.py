"""The job that reads the mailbox of bounces, and its schedule."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from celeriac.core.retry import Retry
from celeriac.engine.app import JobApp
from celeriac.families.email.inbound.api import read_in_time
from celeriac.families.email.inbound.imap import ImapFolder
from celeriac.families.email.inbound.mailbox import Mailbox, MailboxPlace
from celeriac.families.email.inbound.maildir import Maildir
from celeriac.families.email.inbound.store import FeedbackStore
from celeriac.families.email.tokens import Tokens

log = logging.getLogger("celeriac")

NAME = "celeriac.email.poll"


@dataclass(slots=True)
class Polled:
    """What one look into the mailbox has found. `recorded`: what was new. `other`: messages that say nothing to us."""

    messages: int = 0
    recorded: int = 0
    other: int = 0


def register(app: JobApp, place: MailboxPlace, store: FeedbackStore, tokens: Tokens, every: float) -> None:
    """Add the job to `app`, and have beat enqueue it every so many seconds."""

    async def poll() -> dict[str, int]:
        """Read what has come to the mailbox of bounces."""
        polled = await read_mailbox(place, store, tokens)
        if polled.messages:
            log.info(
                "read %(messages)d messages of bounces: %(recorded)d new, %(other)d of no mail of ours", asdict(polled)
            )
        return asdict(polled)

    job = app.job(name=NAME, exposed=False, retry=Retry(attempts=1))(poll)
    app.schedule(NAME, job.call(), every=every)


async def read_mailbox(place: MailboxPlace, store: FeedbackStore, tokens: Tokens) -> Polled:
    """Record what the messages say, one after the other. Each is done when it is recorded: a crash repeats at most one,
    which counts once all the same.

    Raises:
        MailboxUnavailable, DatabaseUnavailable: the rest is read the next time.
    """
    polled = Polled()
    async with _opened(place) as mailbox:
        async for letter in mailbox.waiting():
            polled.messages += 1
            feedback = await read_in_time(letter.raw, tokens)
            if feedback is None:
                polled.other += 1
            else:
                polled.recorded += (await store.record(feedback)).new
            await mailbox.done(letter)
    return polled


@asynccontextmanager
async def _opened(place: MailboxPlace) -> AsyncGenerator[Mailbox]:
    if place.host:
        async with ImapFolder(place) as folder:
            yield folder
    else:
        yield Maildir(Path(place.path))
