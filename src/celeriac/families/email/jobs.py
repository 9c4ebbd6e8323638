"""The jobs of a mailing: a parent, and its children, which each send to a chunk of recipients over one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.retry import Retry
from celeriac.engine.app import JobApp
from celeriac.families.email.attachments import Attachments
from celeriac.families.email.domains import Domains
from celeriac.families.email.errors import AttachmentGone, MailingIncomplete, MailingStopped, RecipientsDeferred
from celeriac.families.email.judgement import StopAt, limits_of
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import NOTHING_ATTACHED, Attached, ChunkOutcome, Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import SmtpServer
from celeriac.families.email.stationery import Stationery
from celeriac.families.email.suppression import Suppressions

#: Recipients of one chunk: enough to make a connection worthwhile, few enough to spread over the workers.
CHUNK = 100


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
    suppressions: Suppressions,
    stationery: Stationery,
    stop_at: StopAt,
) -> EmailJobs:
    """Add the email jobs to `app`. They call `server` for the mail server when they are about to send.

    `stop_at` has the rates of failures at which a mailing stops that names none.
    """
    domains = Domains()

    @app.job(name="celeriac.email.chunk", retry=_RETRY, exposed=False)
    async def chunk(job: JobContext, mailing_id: str, first: int, last: int) -> ChunkOutcome:
        """Send to the open recipients of a mailing at positions `first` to `last`."""

        async def report() -> None:
            counts = await ledger.counts(mailing_id)
            job.parent_progress(counts.finished, counts.total, f"{counts.sent} sent, {counts.failed} failed")

        mailing = await ledger.mailing(mailing_id)
        if mailing.stopped is not None:
            raise MailingStopped(mailing.stopped)
        try:
            async with attachments.encoded(mailing) as end, SmtpSession(server()) as session:
                attached = Attached(end, attachments.slots) if end else NOTHING_ATTACHED
                how = Sending(
                    attached=attached,
                    outgoing=Outgoing(mailing, suppressions, stationery),
                    final=job.is_last_attempt,
                    domains=domains,
                    stop_at=limits_of(mailing.stop_at, stop_at),
                    on_progress=report,
                )
                outcome = await send_chunk(ledger, mailing, first, last, session, how)
        except AttachmentGone as error:
            await ledger.stop(mailing_id, f"attachment {error}")
            raise MailingStopped(f"attachment {error}") from None
        if outcome.hopeless and (counts := await ledger.counts(mailing_id)).finished < counts.total:
            await ledger.stop(mailing_id, outcome.reason)
            raise MailingStopped(str(outcome.reason))
        if outcome.deferred:
            raise RecipientsDeferred(f"{outcome.deferred} recipients deferred: {outcome.reason}")
        return outcome

    @app.job(name="celeriac.email.mailing", exposed=False)
    async def mailing(job: JobContext, mailing_id: str) -> MailingOutcome:
        """Send a mailing to all of its recipients that have no outcome yet."""
        if job.children is None:  # none enqueued yet: a first start, or the start of a retry
            await ledger.stop(mailing_id, None)
        ranges = await ledger.open_ranges(mailing_id, CHUNK)
        await job.fan_out(chunk.call(mailing_id, first, last) for first, last in ranges)
        counts = await ledger.counts(mailing_id)
        job.progress(counts.finished, counts.total, f"{counts.sent} sent, {counts.failed} failed")
        if counts.finished < counts.total:
            if (held := await ledger.held(mailing_id)) and (await ledger.mailing(mailing_id)).stopped is None:
                await ledger.stop(mailing_id, held)
            stopped = (await ledger.mailing(mailing_id)).stopped
            why = f": {stopped}" if stopped else ""
            raise MailingIncomplete(
                f"{counts.total - counts.finished} of {counts.total} recipients are still open, retry the job{why}"
            )
        return MailingOutcome(recipients=counts.total, sent=counts.sent, failed=counts.failed)

    return EmailJobs(ledger, mailing, attachments, server, stationery.example)
