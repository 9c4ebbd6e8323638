"""The dialogue itself: pipelining, TLS that begins in the middle, logins, and servers that are hostile."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.envelope import Envelope
from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.greeting import tls_context
from celeriac.families.email.model import PermanentFailure, Sent, TransientFailure
from celeriac.families.email.replies import Verdict
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import SmtpServer, parse_smtp_url
from tests.support.smtp_script import DROP, PIPELINES, SmtpScript, smtp_script

MESSAGE = b"Message-ID: <1@example.com>\r\nSubject: Hi\r\n\r\nHello\r\n"
SENDER = "news@example.com"
A, B = "a@example.com", "b@example.com"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def session_of(server: SmtpScript) -> SmtpSession:
    return SmtpSession(parse_smtp_url(server.url))


def following(recipient: str) -> Envelope:
    return Envelope(SENDER, recipient, len(MESSAGE))


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncGenerator[SmtpServer]:
    """A server that does just what `talk` says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
            await writer.drain()
            await reader.read()  # until the client leaves
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield SmtpServer(host="127.0.0.1", port=port, starttls=None, timeout=20, ehlo="client.test")


async def test_the_commands_of_a_mail_come_with_the_end_of_the_one_before() -> None:
    """The server answers a message only when it has heard of the next one."""
    heard = list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-raw.test\r\n250 PIPELINING\r\n")
        for _ in range(3):  # of the first mail, before any reply
            heard.append(await reader.readline())
        writer.write(b"250 OK\r\n250 OK\r\n354 go on\r\n")
        while heard[-1] != b".\r\n":
            heard.append(await reader.readline())
        for _ in range(3):  # of the second one, before the reply to the first
            heard.append(await reader.readline())
        writer.write(b"250 taken\r\n250 OK\r\n250 OK\r\n354 go on\r\n")
        while heard.count(b".\r\n") < 2:
            heard.append(await reader.readline())
        writer.write(b"250 taken\r\n")

    async with raw_server(talk) as server:
        session = SmtpSession(server)
        assert await session.send(SENDER, A, MESSAGE, following=following(B)) == Sent(250)
        assert await session.send(SENDER, B, MESSAGE) == Sent(250)
    assert [line for line in heard if line.startswith((b"RCPT", b"DATA", b"."))] == [
        *(b"RCPT TO:<a@example.com>\r\n", b"DATA\r\n", b".\r\n"),
        *(b"RCPT TO:<b@example.com>\r\n", b"DATA\r\n", b".\r\n"),
    ]


async def test_a_server_without_pipelining_hears_one_command_at_a_time(sink: MailSink) -> None:
    async with SmtpSession(parse_smtp_url(sink.url)) as session:
        assert await session.send(SENDER, A, MESSAGE, following=following(B)) == Sent(250)
        assert await session.send(SENDER, B, MESSAGE) == Sent(250)
    assert sink.mails_per_recipient() == {A: 1, B: 1}


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_refusal_amid_pipelined_commands_is_that_mails_alone(stage: str) -> None:
    refused = {f"{stage} {B}": "550 5.1.1 no such user"}
    async with smtp_script(EHLO=PIPELINES, **refused) as server, session_of(server) as session:
        assert await session.send(SENDER, A, MESSAGE, following=following(B)) == Sent(250)
        refusal = await session.send(SENDER, B, MESSAGE, following=following(A))
        assert refusal == PermanentFailure(550, "5.1.1 no such user", Verdict.HARD)
        assert await session.send(SENDER, A, MESSAGE) == Sent(250)
    assert server.recipients == [A, A]
    assert server.connections == 1
    assert server.heard.count("RSET") == 1


@pytest.mark.parametrize("how", [DROP, "421 4.3.2 too many mails over this connection"])
async def test_a_server_that_leaves_after_a_mail_costs_the_next_one_nothing(how: str) -> None:
    async with smtp_script(EHLO=PIPELINES) as server, session_of(server) as session:
        assert await session.send(SENDER, A, MESSAGE) == Sent(250)
        server.once["MAIL"] = how
        assert await session.send(SENDER, B, MESSAGE) == Sent(250)
    assert server.recipients == [A, B]
    assert server.connections == 2


@pytest.mark.parametrize("reply", [DROP, "421 4.3.0 in trouble"])
async def test_a_mail_whose_reply_is_lost_is_neither_sent_nor_failed(reply: str) -> None:
    async with smtp_script(EHLO=PIPELINES, end=reply) as server, session_of(server) as session:
        outcome = await session.send(SENDER, A, MESSAGE, following=following(B))
        assert isinstance(outcome, TransientFailure)
        assert not session.is_connected
        del server.replies["."]
        assert await session.send(SENDER, B, MESSAGE) == Sent(250)
    assert server.recipients == [B]


async def test_a_session_that_closes_with_a_mail_announced_sends_no_part_of_it() -> None:
    async with smtp_script(EHLO=PIPELINES) as server, session_of(server) as session:
        assert await session.send(SENDER, A, MESSAGE, following=following(B)) == Sent(250)
    assert server.recipients == [A]


async def test_another_mail_than_the_announced_one_costs_the_connection_and_mixes_up_nothing() -> None:
    async with smtp_script(EHLO=PIPELINES) as server, session_of(server) as session:
        assert await session.send(SENDER, A, MESSAGE, following=following(B)) == Sent(250)
        assert await session.send(SENDER, "c@example.com", MESSAGE) == Sent(250)
    assert server.recipients == [A, "c@example.com"]


async def test_a_message_larger_than_the_server_takes_is_not_sent() -> None:
    async with smtp_script(EHLO=PIPELINES) as server, session_of(server) as session:
        outcome = await session.send(SENDER, A, b"x" * 100_001)
        assert isinstance(outcome, PermanentFailure)
        assert (outcome.code, outcome.kind) == (552, Verdict.MESSAGE)
        assert "100,001 octets" in outcome.text
        assert await session.send(SENDER, A, MESSAGE) == Sent(250)
    assert any("SIZE=" in line for line in server.heard)


async def test_a_login_takes_what_the_server_offers() -> None:
    login = "250-script.test\r\n250 AUTH=LOGIN"
    async with smtp_script(EHLO=login, AUTH="334 VXNlcm5hbWU6") as server, session_of(server) as session:
        server.replies[b64("app").upper()] = "334 UGFzc3dvcmQ6"
        server.replies[b64("a-secret").upper()] = "235 welcome"
        await session.connect()
    assert server.heard[1:4] == ["AUTH LOGIN", b64("app"), b64("a-secret")]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_what_a_server_says_before_tls_began_is_never_taken_for_what_it_says_within() -> None:
    """As in STARTTLS injection: an attacker on the way adds a reply to the one that the server gives in the clear."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-raw.test\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go on\r\n250-raw.test\r\n250 AUTH PLAIN\r\n")

    async with raw_server(talk) as server:
        with pytest.raises(MailServerUnavailable, match="before TLS began"):
            await SmtpSession(server).connect()


async def test_a_handshake_that_fails_is_an_error_that_names_the_server() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-raw.test\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go on\r\n")
        await reader.read(100)
        writer.write(b"this is no TLS\r\n")

    async with raw_server(talk) as server:
        with pytest.raises(MailServerUnavailable, match=f"127.0.0.1:{server.port}"):
            await SmtpSession(server).connect()


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no SMTP"),
        (b"\xff\xfe\x00\r\n", "no SMTP"),
        (b"220" + b"x" * 100_000, "a line without end|no SMTP"),
        (b"220-again\r\n" * 1000, "a reply without end"),
        (b"2\xc2\xb20 hi\r\n", "no SMTP"),
        (b"554 5.7.1 no\r\n", "554 5.7.1 no to the connection"),
    ],
)
async def test_a_hostile_greeting_is_an_error_and_no_hang(greeting: bytes, said: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)

    async with raw_server(talk) as server:
        with pytest.raises(MailServerUnavailable, match=said):
            await SmtpSession(server).connect()


async def test_a_reply_that_nobody_asked_for_is_not_taken_for_the_next_ones() -> None:
    async with smtp_script(EHLO=PIPELINES, end="250 taken\r\n250 and more") as server, session_of(server) as session:
        assert await session.send(SENDER, A, MESSAGE) == Sent(250)
        server.replies["."] = "550 5.1.1 no such user"
        outcome = await session.send(SENDER, B, MESSAGE)
        assert outcome == PermanentFailure(550, "5.1.1 no such user", Verdict.HARD)
    assert server.connections == 2


@pytest.mark.parametrize(
    "address", ["a@example.com>\r\nRCPT TO:<b@example.com", "a@example.com\n", "a\x00@example.com"]
)
async def test_an_address_cannot_add_a_command(address: str) -> None:
    async with smtp_script(EHLO=PIPELINES) as server, session_of(server) as session:
        with pytest.raises(ValueError, match="is no address for an envelope"):
            await session.send(SENDER, address, MESSAGE)
    assert not any("RCPT" in line for line in server.heard)


def test_tls_is_1_2_at_least() -> None:
    assert tls_context(verify=True).minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls_context(verify=True).check_hostname
    assert not tls_context(verify=False).check_hostname
