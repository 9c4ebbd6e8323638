"""What requests for previews and test mails have beside a mailing."""

from __future__ import annotations

from pydantic import BaseModel, Field

from celeriac.families.email.address import MAX_OCTETS
from celeriac.families.email.form import MailingJson, MailingText


class _Row(BaseModel):
    """Chooses a recipient."""

    row: int | None = Field(
        default=None, ge=1, le=2_000_000, description="The row to preview; the default is the first"
    )


class PreviewText(MailingText, _Row):
    """A mailing in a form, and the row to look at."""


class PreviewJson(MailingJson, _Row):
    """A mailing as JSON, and the row to look at."""


class _To(BaseModel):
    """Says who gets a test mail."""

    to: str = Field(max_length=MAX_OCTETS, description="The address that gets the test mail")


class TestText(PreviewText, _To):
    """A mailing in a form, and who gets one mail of it as a test."""


class TestJson(PreviewJson, _To):
    """A mailing as JSON, and who gets one mail of it as a test."""
