"""From the ledger to the mailbox, through a real mail server: everyone once, and the ledger says what happened."""

import asyncio
import email
import email.policy
import socket
from types import SimpleNamespace

import pytest

from celeriac.database.engine import Database
from celeriac.families.email.demo.sink import ANYONE, MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Counts, Mailing, Recipient, Sent, Status, TransientFailure
from celeriac.families.email.prepare import Preparer
from celeriac.families.email.send import send_chunk
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from tests.support.mailings import EVERY_POSITION, let_waiting_end, new_mailing, outcomes, send, stored_mailing
from tests.support.slow import quick_first
from tests.support.smtp_script import smtp_script
from tests.support.waiting import eventually


@pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)
async def test_a_thousand_recipients_get_one_mail_each(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 1000)
    ranges = await ledger.open_ranges(mailing.id, 250)
    done = [await send(ledger, mailing, sink.url, range_=range_) for range_ in ranges]
    assert sum(chunk.sent for chunk in done) == 1000
    assert len(sink.mails_per_recipient()) == 1000
    assert sink.duplicates == 0
    assert sink.connections == len(ranges)
    assert await ledger.counts(mailing.id) == Counts(sent=1000)


async def test_each_mail_is_its_recipients_own(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 2, html="<p>{{ name }}</p>")
    await send(ledger, mailing, sink.url)
    first, second = (email.message_from_bytes(d.content, policy=email.policy.default) for d in sink.deliveries)
    assert first["To"] == "user2@example.com"
    assert second["Subject"] == "Hello Üser 3"
    assert first["From"] == "News <news@example.com>"
    assert first.get_body(("plain",)).get_content() == "Dear Üser 2,\r\n"  # type: ignore[union-attr]
    assert first.get_body(("html",)).get_content() == "<p>Üser 2</p>\r\n"  # type: ignore[union-attr]
    assert sink.deliveries[0].sender == "news@example.com"


async def test_a_run_that_finds_everything_sent_sends_nothing(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 5)
    await send(ledger, mailing, sink.url)
    again = await send(ledger, mailing, sink.url)
    assert (again.sent, again.deferred) == (0, 0)
    assert len(sink.deliveries) == 5


async def test_a_transient_refusal_is_left_open_and_delivered_by_a_later_run(
    database: Database, ledger: Ledger, sink: MailSink
) -> None:
    mailing = await stored_mailing(ledger, 5)
    sink.answer("user3@example.com", 451, "try later", times=1)
    first = await send(ledger, mailing, sink.url)
    assert (first.sent, first.failed, first.deferred, first.reason) == (4, 0, 1, "try later")
    waiting = (await outcomes(ledger, mailing))["user3@example.com"]
    assert (waiting.status, waiting.code, waiting.error, waiting.attempts) == (Status.PENDING, 451, "try later", 1)
    too_early = await send(ledger, mailing, sink.url)
    assert (too_early.sent, too_early.deferred) == (0, 1)
    await let_waiting_end(database, mailing)
    second = await send(ledger, mailing, sink.url)
    assert (second.sent, second.deferred) == (1, 0)
    delivered = (await outcomes(ledger, mailing))["user3@example.com"]
    assert (delivered.status, delivered.code, delivered.error, delivered.attempts) == (Status.SENT, 250, None, 2)
    assert sink.duplicates == 0


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_permanent_refusal_is_recorded_and_the_others_get_their_mail(
    ledger: Ledger, sink: MailSink, stage: str
) -> None:
    mailing = await stored_mailing(ledger, 5)
    sink.answer("user3@example.com", 550, "5.1.1 no such user", at=stage)  # type: ignore[arg-type]
    run = await send(ledger, mailing, sink.url)
    assert (run.sent, run.failed, run.deferred) == (4, 1, 0)
    assert sink.connections == 1
    failed = (await outcomes(ledger, mailing))["user3@example.com"]
    assert (failed.status, failed.code, failed.error) == (Status.FAILED, 550, "5.1.1 no such user")


async def test_the_last_run_leaves_nothing_open(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 3)
    sink.answer("user3@example.com", 452, "mailbox full")
    await send(ledger, mailing, sink.url)
    last = await send(ledger, mailing, sink.url, final=True)
    assert (last.failed, last.deferred) == (1, 0)
    failed = (await outcomes(ledger, mailing))["user3@example.com"]
    assert (failed.status, failed.code) == (Status.FAILED, 452)
    assert failed.error == "gave up after 2 attempts: mailbox full"


async def test_a_connection_broken_in_the_middle_is_replaced(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 5)
    sink.disconnect("user3@example.com", at="DATA")
    first = await send(ledger, mailing, sink.url)
    assert (first.sent, first.deferred) == (4, 1)
    assert sink.connections == 2
    assert (await send(ledger, mailing, sink.url)).sent == 1
    assert sink.duplicates == 0


async def test_a_mail_whose_answer_was_lost_is_repeated_under_the_same_message_id(
    ledger: Ledger, sink: MailSink
) -> None:
    """The window that SMTP leaves: the server has accepted the mail, and we were not told."""
    mailing = await stored_mailing(ledger, 3)
    sink.disconnect("user3@example.com", at="DATA", accept=True)
    await send(ledger, mailing, sink.url)
    await send(ledger, mailing, sink.url)
    assert sink.mails_per_recipient() == {"user2@example.com": 1, "user3@example.com": 2, "user4@example.com": 1}
    assert sorted(sink.mails_per_message_id().values()) == [1, 1, 2]


async def test_a_server_that_breaks_every_connection_is_left_alone_after_a_few(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 50)
    sink.disconnect(ANYONE, times=None)
    run = await send(ledger, mailing, sink.url)
    assert (run.sent, run.failed, run.deferred) == (0, 0, 50)
    assert run.reason == "the mail server breaks every connection"
    assert sink.connections == 3


async def test_a_server_that_says_goodbye_between_mails_is_connected_to_again(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 4)
    async with SmtpSession(parse_smtp_url(sink.url)) as session:
        await send_chunk(ledger, mailing, 0, 3, session)
        sink.answer(ANYONE, 421, "enough mails over this connection", at="MAIL", times=1)
        run = await send_chunk(ledger, mailing, 4, 9, session)
    assert (run.sent, run.deferred) == (2, 0)
    assert sink.connections == 2


async def test_without_a_mail_server_nothing_is_touched(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 3)
    run = await send(ledger, mailing, f"smtp://127.0.0.1:{closed_port()}")
    assert (run.sent, run.failed, run.deferred) == (0, 0, 3)
    assert run.reason is not None
    assert "cannot be used" in run.reason
    assert {o.attempts for o in (await outcomes(ledger, mailing)).values()} == {0}


async def test_without_a_mail_server_the_last_run_ends_the_mailing_and_fails_no_recipient(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 3)
    run = await send(ledger, mailing, f"smtp://127.0.0.1:{closed_port()}", final=True)
    assert (run.failed, run.deferred, run.hopeless) == (0, 3, True)
    assert {outcome.status for outcome in (await outcomes(ledger, mailing)).values()} == {Status.PENDING}


@pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)
@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("stage", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "end"])
@pytest.mark.parametrize("code", [454, 530])
async def test_a_refused_sender_fails_no_recipient(ledger: Ledger, stage: str, code: int, final: bool) -> None:
    mailing = await stored_mailing(ledger, 5)
    reply = f"{code} {code // 100}.7.8 not you"
    async with smtp_script(**{stage: reply}, **({"HELO": reply} if stage == "EHLO" else {})) as server:
        run = await send(ledger, mailing, server.url, final=final)
        assert (run.sent, run.failed, run.deferred) == (0, 0, 5)
        assert run.hopeless == (code >= 500 or final), "what is for the time being is tried again"
        assert run.reason is not None
        assert reply in run.reason
        assert {outcome.status for outcome in (await outcomes(ledger, mailing)).values()} == {Status.PENDING}
        assert server.connections == 1, "the others would be told the same"
        server.replies.clear()
        assert (await send(ledger, mailing, server.url)).sent == 5
        assert server.taken == 5


async def test_data_that_a_template_cannot_deal_with_fails_its_recipient_only(ledger: Ledger, sink: MailSink) -> None:
    mailing = new_mailing(text="{{ 100 / share }}")
    people = [Recipient(n, f"user{n}@example.com", {"name": "x", "share": n - 1}) for n in (1, 2, 3)]
    await ledger.create(mailing, people)
    run = await send(ledger, mailing, sink.url)
    assert (run.sent, run.failed) == (2, 1)
    failed = (await outcomes(ledger, mailing))["user1@example.com"]
    assert (failed.status, failed.code) == (Status.FAILED, None)
    assert failed.error == "text template, line 1: division by zero"


async def test_templates_that_take_too_long_defer_their_recipients(ledger: Ledger) -> None:
    slow = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}" * 4 + "{{ name|title }}" + "{% endfor %}" * 4
    mailing = await stored_mailing(ledger, 500, text=slow)
    open_recipients = await ledger.open_recipients(mailing.id, *EVERY_POSITION)
    prepared = await Preparer(mailing, seconds=0.5).prepare(open_recipients)
    assert [p.recipient for p in prepared] == open_recipients
    assert prepared[-1].content == TransientFailure(None, "the templates take too long to render")


async def test_an_internationalised_address_needs_a_server_that_takes_it(ledger: Ledger, sink: MailSink) -> None:
    people = [Recipient(1, "jörg@exämple.de", {"name": "a"}), Recipient(2, "anna@exämple.de", {"name": "b"})]
    mailing = new_mailing()
    await ledger.create(mailing, people)
    await send(ledger, mailing, sink.url)
    assert set(sink.mails_per_recipient()) == {"jörg@exämple.de", "anna@xn--exmple-cua.de"}
    async with MailSink(smtputf8=False) as old:
        mailing = new_mailing()
        await ledger.create(mailing, people)
        run = await send(ledger, mailing, old.url)
    assert (run.sent, run.failed) == (1, 1)
    failed = (await outcomes(ledger, mailing))["jörg@exämple.de"]
    assert "SMTPUTF8" in (failed.error or "")


async def test_a_sender_waits_for_another_one_however_long_its_own_mails_took(
    database: Database, sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that passes over an hour between its own mails, and stands still while it waits."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("celeriac.families.email.send.time", clock)
    ledger = Ledger(database, claim_seconds=60)
    mailing = await stored_mailing(ledger, 12)
    assert await ledger.advance(mailing.id, "another", following=(2, "<2@test>"))
    sending = asyncio.create_task(send(ledger, mailing, sink.url))
    await sink.wait_for(1)
    clock.now = 3600.0
    await sink.wait_for(11)
    await eventually(lambda: ledger_knows(ledger, mailing, sent=11), "it has nothing else to do")
    assert not sending.done()
    await ledger.advance(mailing.id, "another", done=(2, Sent(250)))
    run = await sending
    assert (run.sent, run.deferred, run.reason) == (11, 0, None)


async def ledger_knows(ledger: Ledger, mailing: Mailing, *, sent: int) -> bool:
    return (await ledger.counts(mailing.id)).sent == sent


async def test_senders_on_the_same_range_share_it_without_a_duplicate(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 300)
    runs = await asyncio.gather(*(send(ledger, mailing, sink.url) for _ in range(3)))
    assert sink.duplicates == 0
    assert len(sink.deliveries) == 300
    assert sum(run.sent for run in runs) == 300
    assert [(run.deferred, run.reason) for run in runs] == [(0, None)] * 3
    assert sum(run.sent > 0 for run in runs) > 1
    assert await ledger.counts(mailing.id) == Counts(sent=300)


async def test_a_claim_is_renewed_while_the_server_keeps_a_sender_waiting(
    database: Database, sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(database, claim_seconds=0.3)
    mailing = await stored_mailing(ledger, 1)
    sink.pause()
    renewed = asyncio.Semaphore(0)
    renew = ledger.renew

    async def watched(mailing_id: str, position: int, claim: str) -> None:
        await renew(mailing_id, position, claim)
        renewed.release()

    monkeypatch.setattr(ledger, "renew", watched)
    run = asyncio.create_task(send(ledger, mailing, sink.url))
    async with asyncio.timeout(20):
        for _ in range(5):  # by then the claim would have expired
            await renewed.acquire()
    (recipient,) = await ledger.open_recipients(mailing.id, *EVERY_POSITION)
    assert recipient.held_ms > 0
    sink.resume()
    assert (await run).sent == 1


async def test_a_cancelled_run_records_what_it_knows(ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 100)
    run = asyncio.create_task(send(ledger, mailing, sink.url))
    await sink.wait_for(20)
    sink.pause()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    counts = await ledger.counts(mailing.id)
    assert counts.sending <= 1
    assert counts.sent >= len(sink.deliveries) - 1
    assert counts.sent <= len(sink.deliveries)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
