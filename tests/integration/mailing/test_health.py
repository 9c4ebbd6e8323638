"""`/health/ready` says how job families are, and stays ready without what they need outside."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import httpx2
import pytest
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.email import EmailSettings
from tests.support.api_server import serving
from tests.support.mailing_api import MailingApi
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_ready_says_that_the_mail_server_answers(mailings: MailingApi) -> None:
    async def families() -> bool:
        answer = await mailings.client.get("/health/ready")
        assert answer.status_code == 200
        return (answer.json()["status"], answer.json()["families"]["email"]) == ("ok", "ok")

    await eventually(families)


async def test_a_mail_server_that_is_away_degrades_and_takes_no_api_out_of_service(settings: Settings) -> None:
    api = create_api(settings, {"email": EmailSettings(smtp_url=SecretStr("smtp://127.0.0.1:1"))})
    with serving(api) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:

            async def degraded() -> bool:
                answer = await client.get("/health/ready")
                assert answer.status_code == 200
                return (answer.json()["status"], answer.json()["families"]["email"]) == ("degraded", "fail")

            await eventually(degraded)


async def test_ready_does_not_wait_for_a_mail_server_that_says_nothing(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        with serving(create_api(settings, {"email": EmailSettings(smtp_url=url)})) as server:
            async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
                answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["families"]["email"]) == (200, "unknown")


async def test_a_family_whose_routes_cannot_be_made_degrades(
    settings: Settings, install_guest: Callable[[str, str], None]
) -> None:
    source = """
        from celeriac.family import JobFamily

        class Family(JobFamily):
            name, summary = "faxes", "Sends faxes"

            def __init__(self, host):
                pass

            def router(self, **options):
                raise OSError("no modem")
    """
    install_guest("faxes", dedent(source))
    with serving(create_api(settings)) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:

            async def degraded() -> bool:
                answer = (await client.get("/health/ready")).json()
                return (answer["status"], answer["families"]["faxes"]) == ("degraded", "fail")

            await eventually(degraded)
