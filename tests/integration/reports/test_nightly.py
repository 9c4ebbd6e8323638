"""A report that beat has made at set times reaches a mailbox: as an attachment, and as a link."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx2
import pypdfium2
import pytest
import redis
from pydantic import SecretStr

from celeriac import Settings
from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.reports import ReportsSettings
from celeriac.settings import as_environment
from tests.support import nightly_shop
from tests.support.api_server import NO_TLS, serving
from tests.support.fixtures import Databases, on_database
from tests.support.warm import WarmProcess
from tests.support.workers import ROOT, start_worker

pytestmark = pytest.mark.slow
APP = "tests.support.nightly_shop:app"


async def test_a_report_of_a_schedule_is_mailed_as_attachment_and_as_link(
    shop_settings: Settings, report_settings: dict[str, Any], valkey_url: str, tmp_path: Path
) -> None:
    url = on_database(valkey_url, Databases.REPORTS_ALONE)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    settings = shop_settings.model_copy(update={"broker_url": SecretStr(url), "data_dir": tmp_path, "api_keys": ()})
    async with MailSink(keep_content=True) as sink:
        mail = EmailSettings(smtp_url=SecretStr(sink.url), mail_from="shop@example.com")
        app, api = nightly_shop.create(settings, mail, ReportsSettings(**report_settings))
        with serving(api) as server:
            own = {f"CELERIAC_{name.upper()}": str(value) for name, value in report_settings.items()}
            own |= {"CELERIAC_SMTP_URL": sink.url, "CELERIAC_MAIL_FROM": "shop@example.com"}
            own |= {"CELERIAC_REPORTS_LINK_URL": f"{server.url}/links"}
            environment = {**os.environ, **as_environment(settings), **own}
            worker = start_worker(APP, environment, tmp_path / "worker.log", pool="asyncio", name="nightly")
            command = ["celery", "-A", APP, "beat", "--pidfile=", f"--schedule={tmp_path / 'schedule'}"]
            beat = WarmProcess("module", command, cwd=ROOT, environment=environment, log=tmp_path / "beat.log")
            try:
                await sink.wait_for(2, within=90)
            finally:
                beat.end()
                worker.kill()
            message = cast(
                EmailMessage, email.message_from_bytes(sink.deliveries[0].content, policy=email.policy.default)
            )
            (attached,) = message.iter_attachments()
            content = bytes(cast(bytes, attached.get_payload(decode=True)))
            assert (attached.get_filename(), attached.get_content_type()) == (
                "Lieferungen März.pdf",
                "application/pdf",
            )
            with pypdfium2.PdfDocument(content) as document:
                assert "Deliveries" in document[0].get_textpage().get_text_range()
            body = message.get_body(("plain",))
            link = re.search(r"https?://\S+", str(body and body.get_content()))
            assert link is not None
            async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as stranger:
                assert (await stranger.get(link.group())).content == content
        await app.client.aclose()
    await asyncio.to_thread(app.close)
