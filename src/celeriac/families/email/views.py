"""What the API shows of mailings."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from celeriac.families.email.model import MailingState


class MailingView(BaseModel):
    """A mailing and its progress. The state of its job is at `/jobs/{id}`."""

    id: str
    state: MailingState
    sender: str
    subject: str = Field(description="The template, not rendered")
    recipients: int
    left_out: int = Field(description="Rows left out by `duplicates=first`, as their address is in an earlier row")
    sent: int
    failed: int
    open: int = Field(description="Recipients without a final outcome")
    stopped: str | None = Field(description="Why it stopped before its end; resume it to go on")
    created_at: datetime
    send_at: datetime | None = Field(description="When it starts, if it was not to start at once")
    not_after: datetime | None = Field(description="Nothing is sent from then on")


class MailingsView(BaseModel):
    """A page of mailings, the newest first."""

    mailings: list[MailingView]
    next: str | None = Field(description="The cursor of the next page")
