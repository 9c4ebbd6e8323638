"""The built-in application with a mail server, a worker and an API, on a database of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
import redis
from fastapi import FastAPI
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.email import EmailSettings
from celeriac.families.email.demo.sink import MailSink
from celeriac.settings import as_environment
from tests.support.api_server import NO_TLS, serving
from tests.support.fixtures import LEASE, PATIENT, WORKERS, Databases, on_database
from tests.support.mailing_api import MailingApi
from tests.support.post_office import PostOffice, post_office
from tests.support.workers import Worker, start_worker


@pytest_asyncio.fixture(loop_scope="session")
async def sink() -> AsyncGenerator[MailSink]:
    async with MailSink() as sink:
        yield sink


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def office(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[PostOffice]:
    """The API of what comes back; tests share it, so each sends a mailing of its own."""
    async with post_office(on_database(valkey_url, Databases.MAILING), tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest.fixture
def settings(valkey_url: str, tmp_path: Path) -> Settings:
    url = on_database(valkey_url, Databases.MAILING)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return Settings(
        broker_url=SecretStr(url),
        data_dir=tmp_path,
        lease=LEASE,
        broker_timeout=PATIENT,
    )


@pytest.fixture
def email_settings(sink: MailSink) -> EmailSettings:
    return EmailSettings(smtp_url=SecretStr(sink.url), mail_from="a@example.com")


@pytest.fixture
def api(settings: Settings, email_settings: EmailSettings) -> FastAPI:
    return create_api(settings, {"email": email_settings})


@pytest_asyncio.fixture(loop_scope="session")
async def mailings(api: FastAPI) -> AsyncGenerator[MailingApi]:
    with serving(api) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            yield MailingApi(client)


@pytest.fixture
def start_mail_worker(
    settings: Settings, sink: MailSink, tmp_path: Path, request: pytest.FixtureRequest
) -> Generator[Callable[..., Worker]]:
    """Starts workers that send mail. A failure shows what they printed."""
    request.node.stash[WORKERS] = []
    environment = {**as_environment(settings), "CELERIAC_SMTP_URL": sink.url, "CELERIAC_MAIL_FROM": "a@example.com"}
    with ExitStack() as started:

        def start(application: str = "celeriac.worker:c_app", **variables: str) -> Worker:
            worker = start_worker(application, {**environment, **variables}, tmp_path / "worker.log", pool="prefork")
            started.callback(worker.kill)  # at once: how it ends is tested elsewhere
            request.node.stash[WORKERS].append((worker, 0))
            return worker

        yield start
