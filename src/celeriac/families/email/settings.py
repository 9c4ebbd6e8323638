"""The settings of bulk mail."""

from __future__ import annotations

import re
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from celeriac.core.errors import ConfigurationError
from celeriac.families.email.authentication.server import parse_server
from celeriac.families.email.dkim_keys import read_dkim_keys
from celeriac.families.email.inbound.mailbox import parse_mailbox_url
from celeriac.families.email.quotas import parse_domain_limits
from celeriac.families.email.smtp_url import parse_smtp_url
from celeriac.family import FamilySettings
from celeriac.settings import is_loopback

_SECRET_LENGTH = 16
_MAX_URL = 500
_TOPIC = re.compile(r"arn:aws[a-z-]{0,10}:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
#: The part before the @-sign has at most 64 octets (RFC 5321, 4.5.3.1.1): these, `+` and a token of 48.
_LOCAL_PART = re.compile(r"[A-Za-z0-9._-]{1,15}")
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


class EmailSettings(FamilySettings):
    """The settings of bulk mail: the mail server, and the default sender."""

    smtp_url: SecretStr | None = None
    """Mail server, `smtp://user:password@host:587?starttls=true` or `smtps://…`. Needed by the email jobs. Several are
    separated by spaces. `rate=` (mails a second), `concurrency=` (connections) and `daily=` (mails) limit all workers
    together; `weight=` says how much of the mail a server gets."""
    mail_domain_limits: str = ""
    """Limits of recipients' domains over all workers: `gmail.com=20/s,5 *=50/s,10`, mails a second and senders at a
    time; `*` is each other domain."""
    mail_from: str = "celeriac@localhost"
    """Sender of mailings that name none."""
    mail_dkim_keys: str = ""
    """Keys that sign each mail (DKIM): `s1=/path/rsa.pem,s2=/path/ed25519.pem`, by selector. `s1:example.com=…` signs
    the mails of that domain's senders only. Needs the extra `dkim`."""

    mail_resolver: str | None = None
    """DNS server that `celeriac email check` asks: `192.0.2.1`, or `192.0.2.1:5353`. Unset: that of the system."""

    mail_attachments_mb: int = Field(default=10, ge=1, le=100)
    """Megabytes that the attachments of one mailing may have together. Many mail servers take some 10 to 25."""
    mail_idle_hours: float = Field(default=24.0, gt=0, le=8760)
    """Hours after which a mailing of which nothing was sent does not go on by itself, but stops and says why."""
    mail_suppress_refused: bool = True
    """Whether an address that the mail server says does not exist gets no more mail, of any mailing."""

    mail_stop_hard_percent: float = Field(default=10.0, ge=0, le=100)
    """A mailing stops when more than this percentage of its recipients do not exist (hard failures)."""
    mail_stop_soft_percent: float = Field(default=30.0, ge=0, le=100)
    """A mailing stops when more than this percentage of its recipients fail otherwise (soft failures)."""
    mail_stop_after: int = Field(default=100, ge=1)
    """Recipients that must have an outcome before these percentages stop a mailing."""

    mail_public_url: str | None = None
    """Where recipients reach the public routes of bulk mail: `https://api.example.com/email`, for example. With it,
    each mail has an unsubscribe link (RFC 8058)."""
    mail_secrets: tuple[SecretStr, ...] = ()
    """Secrets that sign unsubscribe links and return paths, at least 16 characters each, separated by commas. The first
    signs; what the others have signed stays valid, so put a new one in front."""
    mail_unsubscribe_address: str | None = None
    """Address that takes requests to unsubscribe by mail, whose mailbox is read as that of bounces is."""
    mail_bounce_address: str | None = None
    """Address that bounces return to, such as `bounces@example.com`. Each mail has `bounces+TOKEN@example.com` as its
    return path (VERP). Unset: bounces go to the sender."""
    mail_complaint_rate: float = Field(default=0.003, ge=0, le=1)
    """Complaints for each mail sent above which a mailing stops by itself."""
    mail_complaint_floor: int = Field(default=5, ge=1)
    """Complaints below which a mailing goes on, whatever their rate."""

    mail_bounce_mailbox: SecretStr | None = None
    """Mailbox that bounces come to: `imaps://user:password@host/INBOX`, or `maildir:///path`. What is done there is
    marked as seen, or moved (`?move=Done`). Unset: post them to `/email/inbound`."""
    mail_bounce_poll: float = Field(default=60.0, ge=5, le=86400)
    """Seconds from one look into that mailbox to the next."""
    mail_webhook_secrets: tuple[SecretStr, ...] = ()
    """Secrets of any other source of bounces, which signs as Standard Webhooks says and posts to
    `/email/inbound/events`. Separated by commas."""
    mail_ses_topic: str | None = None
    """ARN of the topic of Amazon SNS by which Amazon SES tells of bounces, at `/email/inbound/ses`."""
    mail_sendgrid_key: str | None = None
    """Public key of SendGrid's Signed Event Webhook, which posts to `/email/inbound/sendgrid`."""
    mail_mailgun_key: SecretStr | None = None
    """Signing key of Mailgun's webhooks, which post to `/email/inbound/mailgun`."""
    mail_postmark_auth: SecretStr | None = None
    """`user:password` in the URL of Postmark's webhooks, `https://user:password@host/email/inbound/postmark`."""

    @field_validator("mail_secrets", "mail_webhook_secrets", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("mail_secrets", "mail_webhook_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < _SECRET_LENGTH for secret in value):
            raise ValueError(f"each secret needs at least {_SECRET_LENGTH} characters")
        return value

    @field_validator("mail_public_url")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        on_this_machine = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or parts.query or parts.fragment or not (parts.scheme == "https" or on_this_machine):
            raise ValueError("expected https://host/path (http:// only on a loopback address)")
        if parts.username is not None or parts.password is not None:
            raise ValueError("expected a URL without a user and password, since each mail has it")
        if not value.isascii() or not value.isprintable() or len(value) > _MAX_URL or set(value) & set(" <>,"):
            raise ValueError(
                f"expected a URL of at most {_MAX_URL} ASCII characters, without spaces, `<`, `>` or commas"
            )
        return value.rstrip("/")

    @field_validator("mail_bounce_address", "mail_unsubscribe_address")
    @classmethod
    def _with_room_for_a_token(cls, value: str | None) -> str | None:
        if value is None:
            return None
        local, at, domain = value.rpartition("@")
        if not at or not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
            raise ValueError("expected local@domain, with 1 to 15 letters, digits, `.`, `_` or `-` before the @-sign")
        return value

    @field_validator("mail_bounce_mailbox")
    @classmethod
    def _mailbox(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parse_mailbox_url(value.get_secret_value())
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("mail_ses_topic")
    @classmethod
    def _topic(cls, value: str | None) -> str | None:
        if value is not None and not _TOPIC.fullmatch(value):
            raise ValueError("expected the ARN of a topic, arn:aws:sns:region:account:name")
        return value

    @field_validator("mail_postmark_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().partition(":")[2]) < _SECRET_LENGTH:
            raise ValueError(f"expected user:password, with a password of at least {_SECRET_LENGTH} characters")
        return value

    @model_validator(mode="after")
    def _signed(self) -> Self:
        signed = {
            "mail_public_url": self.mail_public_url,
            "mail_bounce_address": self.mail_bounce_address,
            "mail_unsubscribe_address": self.mail_unsubscribe_address,
            "mail_bounce_mailbox": self.mail_bounce_mailbox,
        }
        for name, value in signed.items():
            if value is not None and not self.mail_secrets:
                needed = f"CELERIAC_{name.upper()} needs CELERIAC_MAIL_SECRETS"
                raise ValueError(f"{needed}, which sign the links and return paths of mails")
        return self

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        from celeriac.families.email.address import parse_sender

        parse_sender(value)  # raises ValueError
        return value

    @field_validator("mail_dkim_keys")
    @classmethod
    def _keys(cls, value: str) -> str:
        try:
            read_dkim_keys(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("mail_resolver")
    @classmethod
    def _resolver(cls, value: str | None) -> str | None:
        if value is not None:
            parse_server(value)  # raises ValueError
        return value

    @field_validator("mail_domain_limits")
    @classmethod
    def _limits(cls, value: str) -> str:
        try:
            parse_domain_limits(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            for url in value.get_secret_value().split() or [""]:
                parts = urlsplit(url)
                if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
                    raise ValueError("expected smtp://host:port or smtps://host:port")
                try:
                    parse_smtp_url(url)
                except ConfigurationError as error:
                    raise ValueError(str(error)) from None
        return value
