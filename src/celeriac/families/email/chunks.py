"""Sends to one chunk of a mailing's recipients, for its job: when it is to be sent, and what its outcome means."""

from __future__ import annotations

from celeriac.core.context import JobContext
from celeriac.families.email.attachments import Attachments
from celeriac.families.email.courier import Courier
from celeriac.families.email.domains import Domains
from celeriac.families.email.errors import AttachmentGone, MailingStopped, RecipientsDeferred
from celeriac.families.email.judgement import StopAt, limits_of
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, MailingState
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.pace import Pace
from celeriac.families.email.sending import NOTHING_ATTACHED, Attached, ChunkOutcome, OnProgress, Sending
from celeriac.families.email.stationery import Stationery
from celeriac.families.email.suppression import Suppressions


class Chunks:
    """The sender of the chunks of all mailings in one process."""

    def __init__(
        self,
        ledger: Ledger,
        courier: Courier,
        attachments: Attachments,
        suppressions: Suppressions,
        stationery: Stationery,
        stop_at: StopAt,
    ) -> None:
        """`stop_at` has the rates of failures at which a mailing stops that names none."""
        self._ledger = ledger
        self._courier = courier
        self._attachments = attachments
        self._suppressions = suppressions
        self._stationery = stationery
        self._stop_at = stop_at
        self._domains, self._pace = Domains(), Pace()

    async def send(self, job: JobContext, mailing_id: str, first: int, last: int) -> ChunkOutcome:
        """Send to the open recipients at positions `first` to `last`.

        Raises:
            MailingStopped: the mailing has stopped, by this chunk or another.
            RecipientsDeferred: some recipients are to be tried again.
        """
        state = await self._ledger.life.mark_alive(mailing_id)
        mailing = await self._ledger.mailing(mailing_id)
        if state is MailingState.STOPPED:
            raise MailingStopped(str(mailing.stopped))
        if state is not MailingState.SENDING:
            return ChunkOutcome(sent=0, failed=0, deferred=0, reason=f"the mailing is {state}")

        async def report() -> None:
            counts = await self._ledger.counts(mailing_id)
            job.parent_progress(counts.finished, counts.total, f"{counts.sent} sent, {counts.failed} failed")

        try:
            outcome = await self._sent(job, mailing, (first, last), lambda: self._pace.tell(mailing_id, report))
        except AttachmentGone as error:
            raise await self._stopped(mailing_id, f"attachment {error}") from None
        if outcome.deferred:
            await report()  # nobody else may do so for long
        if outcome.hopeless and (counts := await self._ledger.counts(mailing_id)).finished < counts.total:
            raise await self._stopped(mailing_id, str(outcome.reason))
        if outcome.deferred and outcome.again_in is None:
            raise RecipientsDeferred(f"{outcome.deferred} recipients deferred: {outcome.reason}")
        return outcome

    async def _sent(
        self, job: JobContext, mailing: Mailing, positions: tuple[int, int], on_progress: OnProgress
    ) -> ChunkOutcome:
        async with self._attachments.encoded(mailing) as end:
            how = Sending(
                attached=Attached(end, self._attachments.slots) if end else NOTHING_ATTACHED,
                outgoing=Outgoing(mailing, self._suppressions, self._stationery),
                final=job.is_last_attempt,
                domains=self._domains,
                stop_at=limits_of(mailing.stop_at, self._stop_at),
                on_progress=on_progress,
            )
            return await self._courier.send(mailing, *positions, how)

    async def _stopped(self, mailing_id: str, reason: str) -> MailingStopped:
        await self._ledger.life.stop(mailing_id, reason)
        return MailingStopped(reason)
