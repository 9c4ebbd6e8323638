"""Sends to a range of a mailing's recipients over one connection. `ledger` says why nobody gets a mail twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from celeriac.core.background import background
from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, OpenRecipient, Outcome, PermanentFailure, Sent, TransientFailure
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.prepare import Prepared, Preparer
from celeriac.families.email.smtp import SmtpSession

# Rendered ahead of sending. Few, since a message may have megabytes.
_AHEAD = 20
_IN_A_ROW = 3
_LOOK_AGAIN_S = 0.25
_PROGRESS_EVERY_S = 0.5
_PARTING_S = 2.0


@dataclass(frozen=True, slots=True)
class Attached:
    """The attachments of each message, encoded, and what bounds how many such messages are sent at a time."""

    end: bytes
    slots: AbstractAsyncContextManager[Any]


NOTHING_ATTACHED = Attached(b"", nullcontext())

OnProgress = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """The result of one run over a range.

    Attributes:
        sent: recipients the mail server accepted the mail for.
        failed: recipients given up.
        deferred: recipients of the range that are still open. Run it again later.
        reason: the last reason why a recipient was deferred, or None.
        hopeless: whether another run would end the same way, because the server refuses the sender for good.
    """

    sent: int
    failed: int
    deferred: int
    reason: str | None
    hopeless: bool = False


async def send_chunk(
    ledger: Ledger,
    mailing: Mailing,
    first: int,
    last: int,
    session: SmtpSession,
    *,
    final: bool = False,
    attached: Attached = NOTHING_ATTACHED,
    outgoing: Outgoing | None = None,
    on_progress: OnProgress | None = None,
) -> ChunkOutcome:
    """Send to the open recipients at positions `first` to `last`, both included.

    It is safe to run this again after any end, and in several workers at once. If another sender holds claims in
    the range, this waits until those recipients are finished or the claims have expired.

    The run ends early, and leaves the rest open, if the mail server refuses the sender or cannot be reached.

    Args:
        attached: what follows each message of a mailing with attachments.
        final: there will be no other run, so temporary refusals are recorded as failures.
        outgoing: what the mails have beside their templates, and who is left out; None: nothing, and nobody.
        on_progress: called now and then, after outcomes were recorded.

    Raises:
        DatabaseUnavailable: the outcome of the last mail may be lost (the window).
        TemplateInvalid: a template cannot be compiled.
    """
    outgoing = outgoing or Outgoing(mailing)
    return await _Chunk(ledger, mailing, (first, last), session, final, attached, outgoing, on_progress).run()


class _Chunk:
    def __init__(
        self,
        ledger: Ledger,
        mailing: Mailing,
        positions: tuple[int, int],
        session: SmtpSession,
        final: bool,
        attached: Attached,
        outgoing: Outgoing,
        on_progress: OnProgress | None,
    ) -> None:
        self._ledger = ledger
        self._mailing_id = mailing.id
        self._positions = positions
        self._session = session
        self._final = final
        self._attached = attached
        self._outgoing = outgoing
        self._on_progress = on_progress
        self._progress_due = time.monotonic() + _PROGRESS_EVERY_S
        self._preparer = Preparer(mailing, outgoing)
        self._claim = uuid4().hex
        self._done: tuple[int, Outcome] | None = None  # known, and not recorded yet
        self._tried = set[int]()
        self._sent = self._failed = self._broken = self._policy = 0
        self._reason: str | None = None
        self._stopped = self._hopeless = False

    async def run(self) -> ChunkOutcome:
        try:
            await self._send_all()
        finally:
            await asyncio.shield(background(self._record()))  # a cancelled run records its last outcome too
        if self._on_progress is not None:
            await self._on_progress()
        deferred = len(await self._open())
        hopeless = self._hopeless or (self._stopped and self._final)
        return ChunkOutcome(
            sent=self._sent, failed=self._failed, deferred=deferred, reason=self._reason, hopeless=hopeless
        )

    async def _send_all(self) -> None:
        # Other senders' claims end: by an outcome, or because the sender has died.
        patience = 2 * self._ledger.claim_seconds
        patient_until = 0.0
        while not self._stopped and (todo := [r for r in await self._open() if r.position not in self._tried]):
            free = [recipient for recipient in todo if recipient.held_ms <= 0]
            for start in range(0, len(free), _AHEAD):
                await self._send_some(free[start : start + _AHEAD])
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

    async def _send_some(self, recipients: Sequence[OpenRecipient]) -> None:
        if self._stopped:
            return
        for prepared in await self._preparer.prepare(await self._outgoing.sift(recipients)):
            if not await self._ready_for(prepared) or not await self._claimed(prepared):
                continue
            outcome = self._settled(prepared, await self._deliver(prepared))
            await self._outgoing.learn(prepared.recipient, outcome)
            self._done = (prepared.recipient.position, outcome)
            self._tried.add(prepared.recipient.position)
            self._count(outcome)
            await self._report()

    async def _ready_for(self, prepared: Prepared) -> bool:
        """Connect if the message needs it, and say whether that worked. Call it before the claim: it may take long."""
        if self._stopped:
            return False
        try:
            if isinstance(prepared.content, bytes):
                await self._session.connect()
        except MailServerUnavailable as error:
            self._stop(error)
        return not self._stopped

    async def _claimed(self, prepared: Prepared) -> bool:
        """Record the last outcome, and claim this recipient. Return False if another sender was faster."""
        claimed = await self._ledger.advance(
            self._mailing_id,
            self._claim,
            done=self._done,
            following=(prepared.recipient.position, prepared.message_id),
        )
        self._done = None
        return claimed

    async def _deliver(self, prepared: Prepared) -> Outcome:
        if not isinstance(prepared.content, bytes):
            return prepared.content
        try:
            outcome = await self._send_keeping_the_claim(prepared, prepared.content)
        except MailServerUnavailable as error:
            self._stop(error)
            return TransientFailure(error.code, str(error))
        self._broken = 0 if self._session.is_connected else self._broken + 1
        if self._broken >= _IN_A_ROW:
            self._stop("the mail server breaks every connection")
        self._policy = self._policy + 1 if _is_policy(outcome) else 0
        if self._policy >= _IN_A_ROW and not self._sent:
            self._stop(f"the mail server refuses everyone: {_said(outcome)}", hopeless=True)
        return outcome

    async def _send_keeping_the_claim(self, prepared: Prepared, message: bytes) -> Outcome:
        sending = background(self._send(prepared, message))
        try:
            while not (await asyncio.wait({sending}, timeout=self._ledger.claim_seconds / 3))[0]:
                await self._ledger.renew(self._mailing_id, prepared.recipient.position, self._claim)
            return sending.result()
        except asyncio.CancelledError:
            # The mail is on its way. Wait for the reply, so that this recipient is not left in the window.
            await asyncio.wait({sending}, timeout=_PARTING_S)
            if sending.done() and not sending.cancelled() and sending.exception() is None:
                self._done = (prepared.recipient.position, self._settled(prepared, sending.result()))
            raise
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.wait({sending})

    async def _send(self, prepared: Prepared, message: bytes) -> Outcome:
        async with self._attached.slots:
            whole = message + self._attached.end
            return await self._session.send(prepared.sender, prepared.to, whole, utf8=prepared.utf8)

    def _settled(self, prepared: Prepared, outcome: Outcome) -> Outcome:
        """Return the outcome to record. On the final run, a temporary refusal of the recipient is a failure."""
        if self._final and not self._stopped and isinstance(outcome, TransientFailure):
            attempts = prepared.recipient.attempts + 1
            return PermanentFailure(outcome.code, f"gave up after {attempts} attempts: {outcome.text}")
        return outcome

    def _count(self, outcome: Outcome) -> None:
        match outcome:
            case Sent():
                self._sent += 1
            case PermanentFailure():
                self._failed += 1
            case TransientFailure():
                self._reason = self._reason if self._stopped else outcome.text

    def _stop(self, reason: str | MailServerUnavailable, *, hopeless: bool = False) -> None:
        self._stopped, self._reason = True, str(reason)
        code = reason.code if isinstance(reason, MailServerUnavailable) else None
        self._hopeless = hopeless or (code is not None and code // 100 == 5)

    async def _report(self) -> None:
        if self._on_progress is not None and time.monotonic() >= self._progress_due:
            await self._on_progress()
            self._progress_due = time.monotonic() + _PROGRESS_EVERY_S

    async def _record(self) -> None:
        if self._done is not None:
            await self._ledger.advance(self._mailing_id, self._claim, done=self._done)
            self._done = None

    async def _open(self) -> list[OpenRecipient]:
        return await self._ledger.open_recipients(self._mailing_id, *self._positions)


def _is_policy(outcome: Outcome) -> bool:
    """Return whether the server refused by policy (RFC 3463, X.7.Z): the recipient, or late the sender.

    Postfix answers RCPT when it refuses the sender, for example ("Relay access denied").
    """
    return isinstance(outcome, PermanentFailure) and outcome.text.startswith("5.7.")


def _said(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.text}" if isinstance(outcome, PermanentFailure) else ""
