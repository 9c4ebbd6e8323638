"""What the settings put on each mail: its unsubscribe link, its return path, and the keys that sign it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from celeriac.families.email.dkim import DkimKey
from celeriac.families.email.dkim_keys import GOOD_RSA, read_dkim_keys
from celeriac.families.email.settings import EmailSettings
from celeriac.families.email.tokens import Purpose, Tokens

log = logging.getLogger("celeriac")

#: The variable of templates that has the recipient's link.
UNSUBSCRIBE_URL = "unsubscribe_url"
#: The recipient in previews and test mails: the id of no mailing, and a position.
NOBODY = ("00000000-0000-4000-8000-000000000000", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stationery:
    """What the settings say of all mails. Without `tokens`, there are no links and no return paths.

    Attributes:
        public_url: where recipients reach the public routes of this family, without a slash at the end; None: nowhere.
        unsubscribe_address: an address that takes requests to unsubscribe by mail, or None.
        bounce_address: the address that bounces return to, or None: the sender's.
        suppress_refused: whether an address that the mail server does not know gets no more mail.
        dkim_keys: the keys that sign each mail.
    """

    tokens: Tokens | None = None
    public_url: str | None = None
    unsubscribe_address: str | None = None
    bounce_address: str | None = None
    suppress_refused: bool = True
    dkim_keys: tuple[DkimKey, ...] = ()

    @property
    def example(self) -> dict[str, str]:
        """The variables that each mail has beside those of its recipient, with the values of nobody."""
        return self.variables(*NOBODY)

    def variables(self, mailing_id: str, position: int) -> dict[str, str]:
        """Return the variables of one recipient's mail."""
        if self.tokens is None or self.public_url is None:
            return {}
        token = self.tokens.make(Purpose.UNSUBSCRIBE, mailing_id, position)
        return {UNSUBSCRIBE_URL: f"{self.public_url}/unsubscribe/{token}"}

    def unsubscribe_headers(self, mailing_id: str, position: int) -> bytes:
        """Return the headers for one click (RFC 8058, RFC 2369); empty without a public URL."""
        url = self.variables(mailing_id, position).get(UNSUBSCRIBE_URL)
        if url is None or self.tokens is None:
            return b""
        ways = [f"<{url}>"]
        if self.unsubscribe_address is not None:
            token = self.tokens.make(Purpose.UNSUBSCRIBE, mailing_id, position)
            ways.append(f"<mailto:{with_token(self.unsubscribe_address, token)}?subject=unsubscribe>")
        listed = ",\r\n ".join(ways)
        return f"List-Unsubscribe: {listed}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode("ascii")

    def return_path(self, mailing_id: str, position: int) -> str | None:
        """Return the address for the bounces of one recipient (VERP); None: the sender's own."""
        if self.tokens is None or self.bounce_address is None:
            return None
        return with_token(self.bounce_address, self.tokens.make(Purpose.BOUNCE, mailing_id, position))


def stationery(settings: EmailSettings) -> Stationery:
    """Make it of the settings.

    Raises:
        ConfigurationError: a DKIM key cannot be read any more.
    """
    secrets = [secret.get_secret_value().encode() for secret in settings.mail_secrets]
    keys = read_dkim_keys(settings.mail_dkim_keys)
    for key in keys:
        if 0 < key.bits < GOOD_RSA:
            log.warning("the DKIM key %s has %d bits, which some receivers do not accept", key.selector, key.bits)
    return Stationery(
        tokens=Tokens(secrets) if secrets else None,
        public_url=settings.mail_public_url,
        unsubscribe_address=settings.mail_unsubscribe_address,
        bounce_address=settings.mail_bounce_address,
        suppress_refused=settings.mail_suppress_refused,
        dkim_keys=tuple(keys),
    )


def with_token(address: str, token: str) -> str:
    """Put a token into an address, as its detail (`local+token@domain`)."""
    local, _, domain = address.rpartition("@")
    return f"{local}+{token}@{domain}"
