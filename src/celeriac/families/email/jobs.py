"""The jobs of a mailing: a parent, and its children, which each send to a chunk of recipients over one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.errors import RetryAfter
from celeriac.core.retry import Retry
from celeriac.core.spec import Call
from celeriac.engine.app import JobApp
from celeriac.families.email.attachments import Attachments
from celeriac.families.email.chunks import Chunks
from celeriac.families.email.courier import LONGEST_WAIT_S, Courier
from celeriac.families.email.errors import MailingIncomplete, MailingStopped
from celeriac.families.email.judgement import StopAt
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import MailingState
from celeriac.families.email.sending import ChunkOutcome
from celeriac.families.email.servers import Servers
from celeriac.families.email.smtp_url import SmtpServer
from celeriac.families.email.stationery import Stationery
from celeriac.families.email.suppression import Suppressions

#: Recipients of one chunk: enough to make a connection worthwhile, few enough to spread over the workers.
CHUNK = 100
#: The jobs of a mailing's chunks: its first ones, further ones, and the rest, with their priorities. A short mailing,
#: and the beginning of a long one, do not wait for the rest of another.
_LEVELS: Sequence[tuple[str, int | None, int]] = (
    ("celeriac.email.chunk", None, 10),
    ("celeriac.email.further_chunk", 5, 100),
    ("celeriac.email.last_chunk", 2, 1 << 31),
)
#: A mailing's job is delayed again if it was run before the mailing's time, or a limit is used up. No error is retried.
_WAITING = Retry(attempts=10_000, on=())
#: How long it stays away at most, so that nobody takes the mailing for one that is forgotten (`mail_idle_hours`).
_LONGEST_AWAY_S = 3600.0
#: Temporary refusals are retried for about two hours. Greylisting and full mailboxes usually end within that.
_RETRY = Retry(attempts=10, backoff=5.0, factor=2.5, max_delay=1800.0, never=(MailingStopped,))


@dataclass(frozen=True, slots=True)
class MailingOutcome:
    """The numbers of recipients by outcome, when a mailing has ended."""

    recipients: int
    sent: int
    failed: int


@dataclass(frozen=True, slots=True)
class EmailJobs:
    """The email jobs with their ledger and mail server.

    Attributes:
        server: may raise ConfigurationError.
        supplied: the variables that each mail has beside those of its recipient, with values of nobody.
    """

    ledger: Ledger
    mailing: Job[[str], MailingOutcome]
    attachments: Attachments
    server: Callable[[], SmtpServer]
    supplied: Mapping[str, str]


def register(
    app: JobApp,
    ledger: Ledger,
    attachments: Attachments,
    server: Callable[[], SmtpServer],
    servers: Servers,
    suppressions: Suppressions,
    stationery: Stationery,
    stop_at: StopAt,
) -> EmailJobs:
    """Add the email jobs to `app`. They call `server` for the mail server when they are about to send.

    `stop_at` has the rates of failures at which a mailing stops that names none.
    """
    sender = Chunks(ledger, Courier(ledger, servers), attachments, suppressions, stationery, stop_at)
    chunks = _chunk_jobs(app, sender)

    @app.job(name="celeriac.email.mailing", exposed=False, retry=_WAITING)
    async def mailing(job: JobContext, mailing_id: str) -> MailingOutcome:
        """Send a mailing to all of its recipients that have no outcome yet."""
        if job.children is None:  # none enqueued yet: a first start, or the start of a retry
            await _begin(ledger, servers, mailing_id)
        children = await job.fan_out(_calls(chunks, mailing_id, await ledger.open_ranges(mailing_id, CHUNK)))
        counts = await ledger.counts(mailing_id)
        job.progress(counts.finished, counts.total, f"{counts.sent} sent, {counts.failed} failed")
        if not await ledger.life.finish(mailing_id):
            if children.succeeded == children.total and await _waits(ledger, mailing_id):
                raise _later(ledger, await servers.full_for())
            raise await _incomplete(ledger, mailing_id)
        return MailingOutcome(recipients=counts.total, sent=counts.sent, failed=counts.failed)

    return EmailJobs(ledger, mailing, attachments, server, stationery.example)


_ChunkJob = Job[[str, int, int], ChunkOutcome]


def _chunk_jobs(app: JobApp, sender: Chunks) -> list[_ChunkJob]:
    async def chunk(job: JobContext, mailing_id: str, first: int, last: int) -> ChunkOutcome:
        """Send to the open recipients of a mailing at positions `first` to `last`."""
        return await sender.send(job, mailing_id, first, last)

    return [app.job(name=name, retry=_RETRY, exposed=False, priority=priority)(chunk) for name, priority, _ in _LEVELS]


def _calls(chunks: Sequence[_ChunkJob], mailing_id: str, ranges: Sequence[tuple[int, int]]) -> list[Call[ChunkOutcome]]:
    """Return the jobs for ranges of recipients: the later ones have lower priorities."""
    calls = list[Call[ChunkOutcome]]()
    for job, (_, _, end) in zip(chunks, _LEVELS, strict=True):
        calls += [job.call(mailing_id, first, last) for first, last in ranges[len(calls) : end]]
    return calls


async def _begin(ledger: Ledger, servers: Servers, mailing_id: str) -> None:
    """
    Raises:
        RetryAfter: it is too early, or all limits are used up.
        MailingIncomplete: it is not to be sent.
    """
    state, wait = await ledger.life.begin(mailing_id)
    if state is MailingState.SCHEDULED:
        raise RetryAfter(wait)
    if state is not MailingState.SENDING:
        raise await _incomplete(ledger, mailing_id)
    if (full_for := await servers.full_for()) > LONGEST_WAIT_S:
        raise _later(ledger, full_for)


async def _waits(ledger: Ledger, mailing_id: str) -> bool:
    """Return whether the mailing, whose chunks have all ended in good order, has recipients that wait for a limit."""
    state = await ledger.life.mark_alive(mailing_id)
    return state is MailingState.SENDING and await ledger.held(mailing_id) is None


def _later(ledger: Ledger, seconds: float) -> RetryAfter:
    """Return what has the mailing's job come back: soon if no server's limit is used up, but a domain's."""
    wait = min(max(seconds, LONGEST_WAIT_S), _LONGEST_AWAY_S, ledger.life.longest_pause)
    return RetryAfter(wait, f"a limit is used up; the mailing goes on when there is room, next look in {wait:.0f} s")


async def _incomplete(ledger: Ledger, mailing_id: str) -> MailingIncomplete:
    """Return the error that says why the mailing's job ends before the mailing is done."""
    await ledger.life.mark_alive(mailing_id)  # it may be too late by now
    held = await ledger.held(mailing_id)
    await ledger.life.stop(mailing_id, held or "some chunks have ended early; see their errors")
    mailing, counts = await ledger.mailing(mailing_id), await ledger.counts(mailing_id)
    still_open = mailing.recipients - counts.finished
    told = f"{still_open} of {mailing.recipients} recipients are still open"
    if mailing.state is MailingState.STOPPED:
        return MailingIncomplete(f"{told}, resume the mailing or retry the job: {mailing.stopped}")
    return MailingIncomplete(f"{told}, and the mailing is {mailing.state}")
