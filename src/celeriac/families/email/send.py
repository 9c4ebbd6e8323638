"""Sends to a range of a mailing's recipients over one connection. `ledger` says why nobody gets a mail twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from celeriac.core.background import background
from celeriac.core.limits import Refused
from celeriac.families.email.domains import domain_of
from celeriac.families.email.envelope import Envelope
from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, OpenRecipient, Outcome, PermanentFailure, Sent, TransientFailure
from celeriac.families.email.prepare import Prepared, Preparer
from celeriac.families.email.quotas import is_of_domain
from celeriac.families.email.sending import ChunkOutcome, Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.verdicts import Judge

# Rendered ahead of sending. Few, since a message may have megabytes.
_AHEAD = 20
_IN_A_ROW = 3
_LOOK_AGAIN_S = 0.25
_PROGRESS_EVERY_S = 0.5
_PARTING_S = 2.0


async def send_chunk(
    ledger: Ledger, mailing: Mailing, first: int, last: int, session: SmtpSession, how: Sending | None = None
) -> ChunkOutcome:
    """Send to the open recipients at positions `first` to `last`, both included.

    It is safe to run this again after any end, and in several workers at once. If another sender holds claims in
    the range, this waits until those recipients are finished or the claims have expired.

    The run ends early, and leaves the rest open, if the mail server refuses the sender or cannot be reached.

    Raises:
        DatabaseUnavailable: the outcome of the last mail may be lost (the window).
        TemplateInvalid: a template cannot be compiled.
    """
    with ledger.sender():
        return await _Chunk(ledger, mailing, (first, last), session, how or Sending()).run()


class _Chunk:
    def __init__(
        self, ledger: Ledger, mailing: Mailing, positions: tuple[int, int], session: SmtpSession, how: Sending
    ) -> None:
        self._ledger = ledger
        self._mailing_id = mailing.id
        self._positions = positions
        self._session = session
        self._how = how
        self._judge = Judge(ledger, mailing, how.stop_at)
        self._progress_due = time.monotonic() + _PROGRESS_EVERY_S
        self._preparer = Preparer(mailing, how.outgoing, attached_end=how.attached.end)
        self._claim = uuid4().hex
        self._current: Prepared | None = None  # claimed, to be sent next
        self._done: tuple[int, Outcome] | None = None  # known, and not recorded yet
        self._use: Callable[[OpenRecipient], None] = lambda _: None  # it counts under no limit
        self._tried, self._claims = set[int](), set[int]()  # a claim ends when its outcome is recorded
        self._sent = self._failed = self._broken = 0
        self._reason: str | None = None
        self._stopped = self._hopeless = self._leaving = self._unavailable = False
        self._again: Refused | None = None  # when there may be room under a limit

    async def run(self) -> ChunkOutcome:
        sending, keeping = background(self._send_all()), background(self._keep_claims())
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._leaving = True  # a mail is on its way: wait for the reply, so that it is not left in the window
            await asyncio.wait({sending}, timeout=_PARTING_S)
            raise
        finally:
            keeping.cancel()
            sending.cancel()
            await asyncio.wait({sending, keeping})
            await asyncio.shield(background(self._record(releasing=True)))  # a cancelled run, too
        if self._how.on_progress is not None:
            await self._how.on_progress()
        return await self._outcome()

    async def _outcome(self) -> ChunkOutcome:
        if not self._stopped and (reason := await self._judge.why_stop()):
            self._stop(reason, hopeless=True)
        still_open = await self._open()
        held = sum(recipient.is_held for recipient in still_open)
        deferred = len(still_open) - held
        return ChunkOutcome(
            sent=self._sent,
            failed=self._failed,
            deferred=deferred,
            held=held,
            reason=self._reason,
            hopeless=self._hopeless or (self._stopped and self._how.final),
            unavailable=self._unavailable,
            again_in=self._again.seconds if self._again and deferred and not self._stopped else None,
            by_domain=self._again is not None and is_of_domain(self._again.limit),
        )

    async def _send_all(self) -> None:
        # Other senders' claims end: by an outcome, or because the sender has died.
        patience = 2 * self._ledger.claim_seconds
        patient_until = 0.0
        while not self._is_over and (todo := [r for r in await self._open() if self._is_due(r)]):
            free = [recipient for recipient in todo if recipient.held_ms <= 0]
            before = len(self._tried)
            for start in range(0, len(free), _AHEAD):
                await self._send_within_quota(free[start : start + _AHEAD])
            await self._advance(None)
            if self._again is not None and len(self._tried) == before:
                return  # whoever has room under the limits is done
            if free:
                patient_until = time.monotonic() + patience
            else:
                patient_until = patient_until or time.monotonic() + patience
                if time.monotonic() > patient_until:
                    self._reason = "another sender has some of the recipients in hand"
                    return
                await self._record()
                soonest = min(recipient.held_ms for recipient in todo) / 1000
                await asyncio.sleep(min(soonest, _LOOK_AGAIN_S))  # a living sender finishes before its claim ends

    @property
    def _is_over(self) -> bool:
        return self._stopped or self._leaving

    def _is_due(self, recipient: OpenRecipient) -> bool:
        """Return whether to try this recipient in this run."""
        if recipient.position in self._tried or recipient.is_held:
            return False
        if self._how.final:
            return True
        why_not = self._how.domains.waits(recipient.address)
        self._reason = self._reason or why_not
        return why_not is None and recipient.wait_ms <= 0

    async def _send_within_quota(self, recipients: Sequence[OpenRecipient]) -> None:
        if self._how.quota is None:
            await self._send_some(recipients)
            return
        async with await self._how.quota.admit(recipients) as admitted:
            if admitted.refused is not None:
                self._again = min(admitted.refused, self._again or admitted.refused, key=lambda one: one.seconds)
                return
            self._use = admitted.use
            await self._send_some(admitted.recipients)
            await self._advance(None)  # what was admitted is sent before its place is given back

    async def _send_some(self, recipients: Sequence[OpenRecipient]) -> None:
        if self._is_over:
            return
        if self._how.outgoing is not None:
            recipients = await self._how.outgoing.sift(recipients)
        for prepared in await self._preparer.prepare(recipients):
            if self._is_due(prepared.recipient) and await self._ready_for(prepared):
                await self._advance(prepared)

    async def _ready_for(self, prepared: Prepared) -> bool:
        """Connect if the message needs it, and say whether that worked. Call it before the claim: it may take long."""
        if self._is_over:
            return False
        try:
            if isinstance(prepared.content, bytes) and self._current is None:
                await self._session.connect()
        except MailServerUnavailable as error:
            self._stop(error)
        return not self._is_over

    async def _advance(self, following: Prepared | None) -> None:
        """Record the last outcome and claim `following`; then send the current message."""
        if following is not None and not await self._claimed(following):
            following = None
        if self._is_over:
            self._current = self._current or following
            return  # `run` gives back what is claimed
        current, self._current = self._current, following
        await self._record()
        if current is not None:
            outcome = await self._settled(current, await self._deliver(current, following))
            if self._how.outgoing is not None:
                await self._how.outgoing.learn(current.recipient, outcome)
            self._done = (current.recipient.position, outcome)
            await self._count(current, outcome)
            await self._report()

    async def _claimed(self, prepared: Prepared) -> bool:
        """Record the last outcome, and claim this recipient. Return False if another sender was faster."""
        done, position = self._done, prepared.recipient.position
        claimed = await self._ledger.advance(
            self._mailing_id, self._claim, done=done, following=(position, prepared.message_id)
        )
        self._recorded(done)
        if claimed:
            self._claims.add(position)
            self._tried.add(position)
        return claimed

    async def _deliver(self, prepared: Prepared, following: Prepared | None) -> Outcome:
        if not isinstance(prepared.content, bytes):
            return prepared.content
        end = self._how.attached.end
        self._use(prepared.recipient)
        try:
            async with self._how.attached.slots:
                outcome = await self._session.send(
                    prepared.sender,
                    prepared.to,
                    prepared.content + end if end else prepared.content,
                    utf8=prepared.utf8,
                    following=self._envelope(following),
                )
        except MailServerUnavailable as error:
            self._stop(error)
            return TransientFailure(error.code, str(error))
        self._broken = 0 if self._session.is_connected else self._broken + 1
        if self._broken >= _IN_A_ROW:
            self._stop("the mail server breaks every connection")
        return outcome

    def _envelope(self, prepared: Prepared | None) -> Envelope | None:
        if prepared is None or not isinstance(prepared.content, bytes):
            return None
        octets = len(prepared.content) + len(self._how.attached.end)
        return Envelope(prepared.sender, prepared.to, octets, prepared.utf8)

    async def _settled(self, prepared: Prepared, outcome: Outcome) -> Outcome:
        """Return the outcome to record. On the final run, a temporary refusal of the recipient is a failure."""
        recipient, attempts = prepared.recipient, prepared.recipient.attempts + 1
        if isinstance(outcome, PermanentFailure):
            outcome, stop = await self._judge.settle(recipient, outcome)
            if stop is not None:
                self._stop(stop, hopeless=True)
        elif isinstance(outcome, TransientFailure) and not self._stopped:
            if self._how.final:
                return PermanentFailure(outcome.code, f"gave up after {attempts} attempts: {outcome.text}")
            outcome = self._judge.deferred(outcome, attempts)
        return outcome

    async def _count(self, prepared: Prepared, outcome: Outcome) -> None:
        address, domains = prepared.recipient.address, self._how.domains
        match outcome:
            case Sent():
                self._sent += 1
                self._judge.accepted()
                domains.accepted(address)
            case PermanentFailure():
                self._failed += 1
            case TransientFailure():
                self._reason = self._reason if self._stopped else outcome.text
                if outcome.code is not None and not self._stopped:
                    seconds = domains.refused(address, outcome.kind, outcome.text)
                    if seconds is not None and self._how.quota is not None:
                        await self._how.quota.leave_alone(domain_of(address), seconds)

    def _stop(self, reason: str | MailServerUnavailable, *, hopeless: bool = False) -> None:
        self._stopped, self._reason = True, str(reason)
        self._unavailable = isinstance(reason, MailServerUnavailable)
        code = reason.code if isinstance(reason, MailServerUnavailable) else None
        self._hopeless = hopeless or (code is not None and code // 100 == 5)

    async def _report(self) -> None:
        """Look whether too many fail, and tell how far the mailing is, if either is due."""
        if not self._stopped and self._judge.is_due:
            await self._record()
            if reason := await self._judge.why_stop():
                self._stop(reason, hopeless=True)
        if self._how.on_progress is not None and time.monotonic() >= self._progress_due:
            await self._how.on_progress()
            self._progress_due = time.monotonic() + _PROGRESS_EVERY_S

    async def _keep_claims(self) -> None:
        """Renew the claims of this run for as long as it takes."""
        while True:
            before = set(self._claims)
            await asyncio.sleep(self._ledger.claim_seconds / 3)
            for position in before & self._claims:
                await self._ledger.renew(self._mailing_id, position, self._claim)

    async def _record(self, *, releasing: bool = False) -> None:
        """Record the last outcome; with `releasing`, also give back a claim whose mail was not sent."""
        done, current = self._done, self._current if releasing else None
        released = None if current is None else current.recipient.position
        if done is not None or released is not None:
            await self._ledger.advance(self._mailing_id, self._claim, done=done, released=released)
        self._recorded(done)

    def _recorded(self, done: tuple[int, Outcome] | None) -> None:
        if done is not None:
            self._claims.discard(done[0])
            self._done = None

    async def _open(self) -> list[OpenRecipient]:
        return await self._ledger.open_recipients(self._mailing_id, *self._positions)
