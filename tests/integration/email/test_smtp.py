"""One SMTP connection against a real server: outcomes, TLS, login, and connections that break."""

import socket
import ssl
from pathlib import Path

import pytest

from celeriac.families.email.demo.sink import ANYONE, MailSink
from celeriac.families.email.errors import MailServerUnavailable
from celeriac.families.email.model import PermanentFailure, Sent, TransientFailure
from celeriac.families.email.replies import Verdict
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from tests.support.smtp_script import smtp_script

TLS = Path(__file__).parents[2] / "support" / "tls"
MESSAGE = b"Message-ID: <1@example.com>\r\nSubject: Hi\r\n\r\nHello\r\n"
SENDER = "news@example.com"


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context


def with_options(url: str, credentials: str = "", options: str = "") -> SmtpSession:
    return SmtpSession(parse_smtp_url(url.replace("smtp://", f"smtp://{credentials}") + options))


async def test_one_connection_takes_many_messages(sink: MailSink) -> None:
    async with with_options(sink.url) as session:
        for number in range(5):
            assert await session.send(SENDER, f"u{number}@example.com", MESSAGE) == Sent(250)
    assert sink.connections == 1
    assert len(sink.deliveries) == 5


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (450, TransientFailure(450, "no")),
        (452, TransientFailure(452, "no")),
        (550, PermanentFailure(550, "5.1.1 no", Verdict.HARD)),
    ],
)
async def test_the_outcome_follows_the_first_digit_and_the_connection_goes_on(
    sink: MailSink, stage: str, code: int, outcome: PermanentFailure | TransientFailure
) -> None:
    sink.answer(ANYONE, code, outcome.text, at=stage, times=1)  # type: ignore[arg-type]
    async with with_options(sink.url) as session:
        assert await session.send(SENDER, "a@example.com", MESSAGE) == outcome
        assert await session.send(SENDER, "b@example.com", MESSAGE) == Sent(250)
    assert sink.connections == 1
    assert sink.mails_per_recipient() == {"b@example.com": 1}


@pytest.mark.parametrize("code", [450, 452, 550, 553])
async def test_a_refusal_of_the_sender_is_no_recipients_and_names_the_reply(sink: MailSink, code: int) -> None:
    sink.answer(ANYONE, code, "5.1.8 who?", at="MAIL", times=1)
    async with with_options(sink.url) as session:
        with pytest.raises(MailServerUnavailable) as caught:
            await session.send(SENDER, "a@example.com", MESSAGE)
        assert caught.value.code == code
        assert f"answers {code} 5.1.8 who? to MAIL FROM:<{SENDER}>" in str(caught.value)
        assert await session.send(SENDER, "a@example.com", MESSAGE) == Sent(250)
    assert sink.connections == 1


REFUSALS = {
    "greeting": "554 5.3.2 no service",
    "EHLO": "550 5.7.0 not you",
    "AUTH": "535 5.7.8 wrong password",
    "MAIL": "550 5.7.1 not from here",
    "RCPT": "530 5.7.0 log in first",
    "DATA": "550 5.7.26 SPF and DKIM failed",
    "end": "554 5.1.8 no such domain",
}


@pytest.mark.parametrize("stage", REFUSALS)
async def test_whatever_concerns_the_sender_is_told_apart_at_each_stage(stage: str) -> None:
    extra = {"HELO": REFUSALS[stage]} if stage == "EHLO" else {}
    async with (
        smtp_script(**{stage: REFUSALS[stage]}, **extra) as server,
        SmtpSession(parse_smtp_url(server.url)) as session,
    ):
        with pytest.raises(MailServerUnavailable) as caught:
            await session.send(SENDER, "a@example.com", MESSAGE)
    assert caught.value.code == int(REFUSALS[stage][:3])
    assert REFUSALS[stage] in str(caught.value)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("stage", ["RCPT", "DATA", "end"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("550 5.7.1 blocked", Verdict.POLICY),
        ("550 5.1.1 unknown", Verdict.HARD),
        ("550 5.7.200 x", Verdict.POLICY),
        ("550 5.2.2 full", Verdict.SOFT),
        ("552 5.3.4 large", Verdict.MESSAGE),
    ],
)
async def test_a_reply_about_the_recipient_is_its_outcome(stage: str, reply: str, kind: Verdict) -> None:
    async with smtp_script(**{stage: reply}) as server, SmtpSession(parse_smtp_url(server.url)) as session:
        outcome = await session.send(SENDER, "a@example.com", MESSAGE)
    assert outcome == PermanentFailure(int(reply[:3]), reply[4:], kind)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_broken_connection_is_transient_and_replaced(sink: MailSink, stage: str) -> None:
    sink.disconnect("a@example.com", at=stage)  # type: ignore[arg-type]
    async with with_options(sink.url) as session:
        outcome = await session.send(SENDER, "a@example.com", MESSAGE)
        assert isinstance(outcome, TransientFailure)
        assert outcome.code is None
        assert not session.is_connected
        assert await session.send(SENDER, "b@example.com", MESSAGE) == Sent(250)
    assert sink.connections == 2


async def test_421_closes_the_connection(sink: MailSink) -> None:
    sink.answer("a@example.com", 421, "closing", times=1)
    async with with_options(sink.url) as session:
        assert await session.send(SENDER, "a@example.com", MESSAGE) == TransientFailure(
            421, "closing", Verdict.DOMAIN_LATER
        )
        assert not session.is_connected


async def test_a_connection_that_the_server_ended_between_messages_costs_no_attempt(sink: MailSink) -> None:
    async with with_options(sink.url) as session:
        await session.send(SENDER, "a@example.com", MESSAGE)
        sink.disconnect(ANYONE, at="MAIL")
        assert await session.send(SENDER, "b@example.com", MESSAGE) == Sent(250)
    assert sink.connections == 2


async def test_a_new_connection_that_refuses_every_mail_is_not_tried_again_at_once(sink: MailSink) -> None:
    sink.answer(ANYONE, 421, "too many connections", at="MAIL")
    async with with_options(sink.url) as session:
        with pytest.raises(MailServerUnavailable, match="421 too many connections"):
            await session.send(SENDER, "a@example.com", MESSAGE)
    assert sink.connections == 1


async def test_a_servers_words_become_one_printable_line(sink: MailSink) -> None:
    sink.answer("a@example.com", 550, "no\x07 \u202esuch user " + "x" * 1000)
    async with with_options(sink.url) as session:
        outcome = await session.send(SENDER, "a@example.com", MESSAGE)
    assert isinstance(outcome, PermanentFailure)
    assert outcome.text.startswith("no? ?such user xxx")
    assert len(outcome.text) == 500


async def test_lines_that_begin_with_a_dot_arrive_as_they_were(sink: MailSink) -> None:
    message = MESSAGE + b".\r\n..\r\n.hidden\r\n"
    async with with_options(sink.url) as session:
        await session.send(SENDER, "a@example.com", message)
    assert sink.deliveries[0].content == message


async def test_login_over_starttls(tls: ssl.SSLContext) -> None:
    async with (
        MailSink(credentials=("app", "p@ss word"), tls=tls) as sink,
        with_options(sink.url, "app:p%40ss%20word@", "?starttls=true&verify=false") as session,
    ):
        assert await session.send(SENDER, "a@example.com", MESSAGE) == Sent(250)


async def test_a_refused_login_is_named_without_the_password(tls: ssl.SSLContext) -> None:
    async with (
        MailSink(credentials=("app", "right"), tls=tls) as sink,
        with_options(sink.url, "app:wrong-secret@", "?verify=false") as session,
    ):
        with pytest.raises(MailServerUnavailable) as caught:
            await session.connect()
    assert caught.value.code == 535
    assert "wrong-secret" not in str(caught.value)
    assert str(sink.port) in str(caught.value)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    async with MailSink(tls=tls) as sink, with_options(sink.url) as session:
        with pytest.raises(MailServerUnavailable, match="certificate verify failed"):
            await session.connect()


async def test_starttls_that_is_asked_for_and_not_offered_is_an_error(sink: MailSink) -> None:
    async with with_options(sink.url, options="?starttls=true") as session:
        with pytest.raises(MailServerUnavailable, match="STARTTLS"):
            await session.send(SENDER, "a@example.com", MESSAGE)
    assert sink.deliveries == []


async def test_a_server_that_offers_no_login_is_an_error(tls: ssl.SSLContext) -> None:
    async with MailSink(tls=tls) as sink, with_options(sink.url, "app:secret@", "?starttls=false") as session:
        with pytest.raises(MailServerUnavailable, match="AUTH"):
            await session.connect()


async def test_a_server_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with socket.socket() as silent:  # listens, and accepts nobody
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"smtp://127.0.0.1:{silent.getsockname()[1]}?timeout=0.2"
        async with SmtpSession(parse_smtp_url(url)) as session:
            with pytest.raises(MailServerUnavailable, match="Timed out"):
                await session.connect()
