"""Judges the refusals of one run over a chunk, with what the ledger knows of the whole mailing."""

from __future__ import annotations

import time

from celeriac.families.email.domains import wait_after
from celeriac.families.email.judgement import StopAt, holds, since, stops, why_stop
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import HELD_S, Mailing, OpenRecipient, Outcome, PermanentFailure, TransientFailure
from celeriac.families.email.replies import Verdict

#: Failures, or seconds after the first one, until the rates are looked at again.
_LOOK_AFTER = 5
_LOOK_EVERY_S = 1.0


class Judge:
    """The judge of one run."""

    def __init__(self, ledger: Ledger, mailing: Mailing, limits: StopAt) -> None:
        self._ledger = ledger
        self._mailing_id = mailing.id
        self._baseline = mailing.baseline
        self._limits = limits
        self._has_sent = False
        self._in_a_row = 0  # refusals by policy
        self._failures = 0  # since the last look at the rates
        self._first_failure = 0.0

    def accepted(self) -> None:
        """Note that the server took a mail."""
        self._has_sent, self._in_a_row = True, 0

    async def settle(self, recipient: OpenRecipient, failure: PermanentFailure) -> tuple[Outcome, str | None]:
        """Return the outcome to record of a refusal, and why it stops the mailing, or None."""
        if failure.code is not None and failure.kind in (Verdict.POLICY, Verdict.MESSAGE):
            has_sent = self._has_sent or (await self._ledger.counts(self._mailing_id)).sent > 0
            if holds(failure.kind, was_held=recipient.kind == failure.kind, has_sent=has_sent):
                self._in_a_row += 1
                reply = f"{failure.code} {failure.text}"
                held = TransientFailure(failure.code, failure.text, failure.kind, HELD_S)
                if stops(has_sent=has_sent, in_a_row=self._in_a_row):
                    return held, f"the mail server refuses mail by policy or content: {reply}"
                return held, None
        if failure.code is not None:
            self._first_failure = self._first_failure or time.monotonic()
            self._failures += 1
        return failure, None

    def deferred(self, failure: TransientFailure, attempts: int) -> TransientFailure:
        """Return the outcome to record of a refusal for the time being, with how long the recipient waits."""
        if failure.code is None:
            return failure
        return TransientFailure(failure.code, failure.text, failure.kind, wait_after(attempts))

    @property
    def is_due(self) -> bool:
        """Whether to look at the rates again."""
        if not self._failures:
            return False
        return self._failures >= _LOOK_AFTER or time.monotonic() - self._first_failure >= _LOOK_EVERY_S

    async def why_stop(self) -> str | None:
        """Return why the mailing has to stop by its rates of failures, or None. Record the last outcome before."""
        if not self._failures:
            return None
        self._failures, self._first_failure = 0, 0.0
        counts = await self._ledger.counts(self._mailing_id)
        sent, failed = since(self._baseline, counts.sent, await self._ledger.failures(self._mailing_id))
        why = why_stop(sent, failed, self._limits)
        return why if why is None or self._baseline is None else f"{why} since it was resumed"
