"""What a mailing's mails have beside their templates, and who is left out."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.families.email.model import Mailing, OpenRecipient, Outcome, PermanentFailure
from celeriac.families.email.status_codes import concerns_address
from celeriac.families.email.suppression import Reason, Suppression, Suppressions


class Outgoing:
    """The outgoing mails of one mailing."""

    def __init__(
        self, mailing: Mailing, suppressions: Suppressions | None = None, *, suppress_refused: bool = True
    ) -> None:
        """`suppress_refused`: whether an address that the mail server does not know gets no more mail."""
        self._mailing = mailing
        self._suppressions = suppressions
        self._suppress_refused = suppress_refused

    async def sift(self, recipients: Sequence[OpenRecipient]) -> list[OpenRecipient]:
        """Return the recipients that may get mail, and record the outcome of the others."""
        if self._suppressions is None:
            return list(recipients)
        return await self._suppressions.sift(self._mailing, recipients)

    async def learn(self, recipient: OpenRecipient, outcome: Outcome) -> None:
        """Suppress an address that the server says does not exist. Call it before the outcome is recorded."""
        if self._suppressions is None or not self._suppress_refused or not isinstance(outcome, PermanentFailure):
            return
        if outcome.code is not None and concerns_address(outcome.text):
            source = f"mailing {self._mailing.id}"
            await self._suppressions.add(Suppression(recipient.address, "", Reason.HARD_BOUNCE, source))
