"""The job that sends one mail of a mailing as a test, through the real mail server. No ledger knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.retry import Retry
from celeriac.engine.app import JobApp
from celeriac.families.email.attachments import Attachments
from celeriac.families.email.dkim import DkimKey, Signer
from celeriac.families.email.errors import TestMailRefused
from celeriac.families.email.model import Mailing, Sent
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import SmtpServer


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """Whom a test mail went to, and the mail server's reply code."""

    to: str
    code: int


TestJob = Job[[str, str, bool, str, list[dict[str, Any]]], TestOutcome]


def register_test(
    app: JobApp, attachments: Attachments, server: Callable[[], SmtpServer], dkim_keys: Sequence[DkimKey] = ()
) -> TestJob:
    """Add the job to `app`. It calls `server` for the mail server when it is about to send."""

    @app.job(name="celeriac.email.test", retry=Retry(attempts=1), exposed=False)
    async def test(
        job: JobContext, sender: str, to: str, utf8: bool, message: str, files: list[dict[str, Any]]
    ) -> TestOutcome:
        """Send a message to one address. It is tried once: somebody waits for it."""
        mailing = Mailing(id=job.id, sender=sender, subject="", attachments=files)
        async with attachments.encoded(mailing) as end, SmtpSession(server()) as session:
            signer = Signer(dkim_keys, sender.rpartition("@")[2], end)
            content = await asyncio.to_thread(signer.sign, message.encode()) + end
            outcome = await session.send(sender, to, content, utf8=utf8)
        if not isinstance(outcome, Sent):
            raise TestMailRefused(f"{outcome.code} {outcome.text}" if outcome.code else outcome.text)
        return TestOutcome(to, outcome.code)

    return test
