"""The settings of bulk mail."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from celeriac.family import FamilySettings


class EmailSettings(FamilySettings):
    """The settings of bulk mail: the mail server, and the default sender."""

    smtp_url: SecretStr | None = None
    """Mail server, `smtp://user:password@host:587?starttls=true` or `smtps://…`. Needed by the email jobs."""
    mail_from: str = "celeriac@localhost"
    """Sender of mailings that name none."""

    mail_attachments_mb: int = Field(default=10, ge=1, le=100)
    """Megabytes that the attachments of one mailing may have together. Many mail servers take some 10 to 25."""
    mail_suppress_refused: bool = True
    """Whether an address that the mail server says does not exist gets no more mail, of any mailing."""

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
                raise ValueError("expected smtp://host:port or smtps://host:port")
        return value
