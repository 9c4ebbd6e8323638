"""Connections to mail servers that outlast a chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.model import Sent
from celeriac.families.email.sessions import Sessions
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from tests.support.waiting import eventually

MESSAGE = b"Subject: x\r\nMessage-ID: <1@x>\r\n\r\nx\r\n"


@pytest.fixture
async def sink() -> AsyncGenerator[MailSink]:
    async with MailSink() as sink:
        yield sink


async def use(sessions: Sessions, url: str) -> SmtpSession:
    async with sessions.use(parse_smtp_url(url)) as session:
        assert await session.send("a@example.com", "b@example.com", MESSAGE) == Sent(250)
    return session


async def test_the_next_user_finds_the_connection_and_two_at_once_have_one_each(sink: MailSink) -> None:
    sessions = Sessions()
    first = await use(sessions, sink.url)
    assert await use(sessions, sink.url) is first
    assert sink.connections == 1
    async with sessions.use(parse_smtp_url(sink.url)):
        assert await use(sessions, sink.url) is not first
    assert sink.connections == 2


async def test_a_connection_that_nobody_uses_is_closed(sink: MailSink) -> None:
    session = await use(Sessions(idle_seconds=0.01), sink.url)
    await eventually(lambda: not session.is_connected, "it is closed")


async def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced(sink: MailSink) -> None:
    sessions = Sessions()
    await use(sessions, sink.url)
    port = sink.port
    await sink.stop()
    await sink.start(port)
    await use(sessions, sink.url)
    assert (sink.connections, len(sink.deliveries)) == (2, 2)


async def test_a_failed_user_and_a_limited_server_keep_nothing_open(sink: MailSink) -> None:
    sessions = Sessions()
    session = await use(sessions, f"{sink.url}?concurrency=1")
    assert not session.is_connected
    with pytest.raises(asyncio.CancelledError):
        async with sessions.use(parse_smtp_url(sink.url)) as session:
            await session.connect()
            raise asyncio.CancelledError
    assert not session.is_connected
