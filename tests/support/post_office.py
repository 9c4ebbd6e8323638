"""The API of bulk mail with what comes back, and its tables at hand: no worker, no mail server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.asgi import create_api
from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily, EmailSettings
from celeriac.families.email.inbound.store import ComplaintLimit, FeedbackStore
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, Recipient, Sent
from celeriac.families.email.stationery import Stationery, stationery
from celeriac.families.email.suppression import Suppressions
from tests.support.api_server import NO_TLS, serving
from tests.support.mailings import new_mailing

SECRET = "0123456789abcdef"
KEY = {"Authorization": f"Bearer {SECRET}"}


def signed(body: bytes) -> dict[str, str]:
    """The headers of a request of Standard Webhooks with `SECRET`."""
    at = str(int(time.time()))
    digest = hmac.digest(SECRET.encode(), b"m1." + at.encode() + b"." + body, hashlib.sha256)
    return {
        "webhook-id": "m1",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def address_of(mailing: Mailing, position: int) -> str:
    """A recipient's address, which no other mailing has."""
    return f"User{position}@{mailing.id[:8]}.example.com"


class PostOffice:
    """An API with keys on a database. `client` has no key, `KEY` is one."""

    def __init__(self, client: httpx2.AsyncClient, database_url: str, settings: EmailSettings) -> None:
        self.client = client
        self.database_url = database_url
        self.database = database = Database(database_url, lambda: [EmailFamily.migrations()])
        self.ledger = Ledger(database)
        self.suppressions = Suppressions(database)
        limit = ComplaintLimit(settings.mail_complaint_rate, settings.mail_complaint_floor)
        self.feedback = FeedbackStore(database, limit)
        self.stationery: Stationery = stationery(settings)

    async def sent(self, count: int, *, left: int = 0, **changes: str) -> Mailing:
        """A mailing that so many recipients got, at positions from 1; `left` more are still open."""
        mailing = new_mailing(**changes)
        people = [Recipient(row, address_of(mailing, row), {"name": "x"}) for row in range(1, count + left + 1)]
        await self.ledger.create(mailing, people)
        for row in range(1, count + 1):
            message_id = f"<{row}.{mailing.id}@example.com>"
            await self.ledger.advance(mailing.id, "test", following=(row, message_id))
            await self.ledger.advance(mailing.id, "test", done=(row, Sent(250)))
        return mailing

    def link(self, mailing: Mailing, position: int) -> str:
        """The path of a recipient's unsubscribe link."""
        url = self.stationery.variables(mailing.id, position)["unsubscribe_url"]
        return url[url.index("/email/") :]

    def return_path(self, mailing: Mailing, position: int) -> str:
        path = self.stationery.return_path(mailing.id, position)
        assert path is not None
        return path

    def schedule_with(self, **email: str) -> dict[str, Any]:
        """What beat enqueues in an application with these settings of bulk mail."""
        app = Celeriac("shop", settings=Settings())
        app.include_family(EmailFamily, EmailSettings.model_validate({"mail_secrets": SECRET, **email}))
        return dict(app.conf.beat_schedule)


@asynccontextmanager
async def post_office(broker: str, folder: Path, **email: Any) -> AsyncGenerator[PostOffice]:
    settings = Settings(broker_url=SecretStr(broker), data_dir=folder, api_keys=(SecretStr(f"shop:{SECRET}"),))
    given = {
        "mail_secrets": f"{SECRET},fedcba9876543210",
        "mail_public_url": "https://api.example.com/email",
        "mail_bounce_address": "bounces@example.com",
        "mail_unsubscribe_address": "leave@example.com",
        "mail_webhook_secrets": SECRET,
    }
    mail = EmailSettings.model_validate({**given, **email})
    with serving(create_api(settings, {"email": mail})) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            office = PostOffice(client, settings.database(), mail)
            yield office
            await office.database.dispose()
