"""Makes the adapters of providers that the settings name."""

from __future__ import annotations

import binascii

from celeriac.core.errors import ConfigurationError, NotInstalled
from celeriac.core.extras import absent, advice
from celeriac.families.email.inbound.providers.base import Provider
from celeriac.families.email.inbound.providers.mailgun import Mailgun
from celeriac.families.email.inbound.providers.postmark import Postmark
from celeriac.families.email.inbound.providers.sendgrid import SendGrid
from celeriac.families.email.inbound.providers.ses import Ses
from celeriac.families.email.inbound.providers.signed import SignedEvents
from celeriac.families.email.settings import EmailSettings
from celeriac.families.email.tokens import Tokens


def providers(settings: EmailSettings, tokens: Tokens | None) -> dict[str, Provider]:
    """Return the adapters by name.

    Raises:
        ConfigurationError: a key is wrong.
        NotInstalled: a signature cannot be checked without the extra `dkim`.
    """
    made = list[Provider]()
    if settings.mail_webhook_secrets:
        made.append(SignedEvents([secret.get_secret_value() for secret in settings.mail_webhook_secrets]))
    if settings.mail_mailgun_key is not None:
        made.append(Mailgun(settings.mail_mailgun_key.get_secret_value()))
    if settings.mail_postmark_auth is not None:
        made.append(Postmark(settings.mail_postmark_auth.get_secret_value()))
    if settings.mail_sendgrid_key is not None:
        _require_cryptography("CELERIAC_MAIL_SENDGRID_KEY")
        try:
            made.append(SendGrid(settings.mail_sendgrid_key))
        except (ValueError, binascii.Error) as error:
            raise ConfigurationError(
                f"CELERIAC_MAIL_SENDGRID_KEY: expected the public key in base64: {error}"
            ) from None
    if settings.mail_ses_topic is not None:
        _require_cryptography("CELERIAC_MAIL_SES_TOPIC")
        made.append(Ses(settings.mail_ses_topic, tokens))
    return {provider.name: provider for provider in made}


def _require_cryptography(setting: str) -> None:
    if absent(("cryptography",)):
        raise NotInstalled(f"{setting} needs cryptography: {advice('celeriac[dkim]')}")
