"""What a mailing's mails have beside their templates, and who is left out."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.families.email.address import parse_sender
from celeriac.families.email.dkim import DkimKey
from celeriac.families.email.model import Mailing, OpenRecipient, Outcome, PermanentFailure
from celeriac.families.email.replies import Verdict
from celeriac.families.email.stationery import Stationery
from celeriac.families.email.suppression import Reason, Suppression, Suppressions


class Outgoing:
    """The outgoing mails of one mailing."""

    def __init__(
        self, mailing: Mailing, suppressions: Suppressions | None = None, stationery: Stationery | None = None
    ) -> None:
        self._mailing = mailing
        self._suppressions = suppressions
        self._stationery = stationery or Stationery()
        self._list_id = b""
        if mailing.list_name is not None:
            domain = parse_sender(mailing.sender).address.rpartition("@")[2]
            self._list_id = f"List-Id: <{mailing.list_name}.{domain}>\r\n".encode("ascii")

    @property
    def dkim_keys(self) -> Sequence[DkimKey]:
        """The keys that sign the mails."""
        return self._stationery.dkim_keys

    async def sift(self, recipients: Sequence[OpenRecipient]) -> list[OpenRecipient]:
        """Return the recipients that may get mail, and record the outcome of the others."""
        if self._suppressions is None:
            return list(recipients)
        return await self._suppressions.sift(self._mailing, recipients)

    async def learn(self, recipient: OpenRecipient, outcome: Outcome) -> None:
        """Suppress an address that the server says does not exist. Call it before the outcome is recorded."""
        if self._suppressions is None or not self._stationery.suppress_refused:
            return
        if isinstance(outcome, PermanentFailure) and outcome.code is not None and outcome.kind is Verdict.HARD:
            source = f"mailing {self._mailing.id}"
            await self._suppressions.add(Suppression(recipient.address, "", Reason.HARD_BOUNCE, source))

    def variables(self, position: int) -> dict[str, str]:
        """Return the variables that the templates of one recipient's mail have, beside those of the recipient."""
        return self._stationery.variables(self._mailing.id, position)

    def headers(self, position: int) -> bytes:
        """Return headers of one recipient's mail, each with its line end. What the mailing itself says goes first."""
        if self._mailing.list_unsubscribe is not None:
            return self._list_id
        return self._list_id + self._stationery.unsubscribe_headers(self._mailing.id, position)

    def return_path(self, position: int) -> str | None:
        """Return the address for MAIL FROM of one recipient's mail; None: the sender's own."""
        return self._stationery.return_path(self._mailing.id, position)
