"""Whoever is suppressed gets no mail: looked up when it is about to be sent, on the real ledger and mail server."""

from __future__ import annotations

import pytest

from celeriac.database.engine import Database
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Counts, Mailing, Status
from celeriac.families.email.outgoing import Outgoing
from celeriac.families.email.send import send_chunk
from celeriac.families.email.sending import ChunkOutcome, Sending
from celeriac.families.email.smtp import SmtpSession
from celeriac.families.email.smtp_url import parse_smtp_url
from celeriac.families.email.stationery import Stationery
from celeriac.families.email.suppression import Reason, Suppression, Suppressions
from tests.support.mailings import EVERY_POSITION, let_waiting_end, outcomes, stored_mailing
from tests.support.slow import quick_first

both = pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def suppressions(database: Database) -> Suppressions:
    return Suppressions(database)


async def run(
    ledger: Ledger, mailing: Mailing, sink: MailSink, suppressions: Suppressions, *, suppress_refused: bool = True
) -> ChunkOutcome:
    outgoing = Outgoing(mailing, suppressions, Stationery(suppress_refused=suppress_refused))
    async with SmtpSession(parse_smtp_url(sink.url)) as session:
        return await send_chunk(ledger, mailing, *EVERY_POSITION, session, Sending(outgoing=outgoing))


def unsubscribed(address: str, list_name: str = "") -> Suppression:
    return Suppression(address, list_name, Reason.UNSUBSCRIBE, "test")


@both
async def test_the_suppressed_get_no_mail_and_the_counts_add_up(
    ledger: Ledger, sink: MailSink, suppressions: Suppressions
) -> None:
    mailing = await stored_mailing(ledger, 30, list_name="news")
    await suppressions.add(unsubscribed("USER3@example.com"))
    await suppressions.add(unsubscribed("user4@example.com", "news"))
    await suppressions.add(unsubscribed("user5@example.com", "offers"))
    done = await run(ledger, mailing, sink, suppressions)
    assert (done.sent, done.deferred) == (28, 0)
    assert not {"user3@example.com", "user4@example.com"} & set(sink.mails_per_recipient())
    assert await ledger.counts(mailing.id) == Counts(sent=28, failed=2)
    told = await outcomes(ledger, mailing)
    assert (told["user3@example.com"].error, told["user3@example.com"].code) == ("suppressed: unsubscribe", None)
    assert told["user3@example.com"].attempts == 0
    assert told["user4@example.com"].error == "suppressed: unsubscribe (list news)"
    assert told["user5@example.com"].status is Status.SENT


@on_sqlite
async def test_a_mailing_of_no_list_heeds_what_holds_for_all_mail(
    ledger: Ledger, sink: MailSink, suppressions: Suppressions
) -> None:
    mailing = await stored_mailing(ledger, 2)
    await suppressions.add(unsubscribed("user2@example.com", "news"))
    await suppressions.add(unsubscribed("user3@example.com"))
    assert (await run(ledger, mailing, sink, suppressions)).sent == 1
    assert set(sink.mails_per_recipient()) == {"user2@example.com"}


@on_sqlite
async def test_who_unsubscribes_during_a_mailing_gets_nothing_of_the_rest(
    database: Database, ledger: Ledger, sink: MailSink, suppressions: Suppressions
) -> None:
    mailing = await stored_mailing(ledger, 3)
    sink.answer("user3@example.com", 451, "later", times=1)
    assert (await run(ledger, mailing, sink, suppressions)).deferred == 1
    await suppressions.add(unsubscribed("user3@example.com"))
    await let_waiting_end(database, mailing)
    assert (await run(ledger, mailing, sink, suppressions)).deferred == 0
    assert await ledger.counts(mailing.id) == Counts(sent=2, failed=1)


@on_sqlite
@pytest.mark.parametrize(
    ("reply", "suppressed"),
    [
        ("5.1.1 no such user", True),
        ("5.2.1 disabled", True),
        ("5.2.2 mailbox full", False),
        ("5.7.1 blocked", False),
        ("no", False),
    ],
)
async def test_an_address_that_does_not_exist_is_suppressed(
    ledger: Ledger, sink: MailSink, suppressions: Suppressions, reply: str, suppressed: bool
) -> None:
    mailing = await stored_mailing(ledger, 2)
    sink.answer("user3@example.com", 550, reply)
    done = await run(ledger, mailing, sink, suppressions)
    assert done.failed + done.held == 1
    found = await suppressions.of("user3@example.com")
    assert [(one.reason, one.source) for one in found] == [(Reason.HARD_BOUNCE, f"mailing {mailing.id}")] * suppressed


@on_sqlite
async def test_a_setting_leaves_refused_addresses_alone(
    ledger: Ledger, sink: MailSink, suppressions: Suppressions
) -> None:
    mailing = await stored_mailing(ledger, 1)
    sink.answer("user2@example.com", 550, "5.1.1 no such user")
    await run(ledger, mailing, sink, suppressions, suppress_refused=False)
    assert await suppressions.of("user2@example.com") == []


@on_sqlite
async def test_a_recipient_in_another_senders_hand_is_left_to_it(
    ledger: Ledger, sink: MailSink, suppressions: Suppressions
) -> None:
    mailing = await stored_mailing(ledger, 1)
    (recipient,) = await ledger.open_recipients(mailing.id, *EVERY_POSITION)
    await ledger.advance(mailing.id, "another", following=(recipient.position, "<2@test>"))
    await suppressions.add(unsubscribed(recipient.address))
    assert await suppressions.sift(mailing, [recipient]) == []
    assert (await ledger.counts(mailing.id)).sending == 1


@both
async def test_entries_are_added_once_listed_in_order_and_removed(suppressions: Suppressions) -> None:
    assert await suppressions.add(unsubscribed("Ann@example.com", "news"))
    assert not await suppressions.add(Suppression("ann@EXAMPLE.com", "news", Reason.COMPLAINT, "later"))
    many = [unsubscribed(f"user{number:04}@example.com") for number in range(2500)]
    assert await suppressions.add_all(iter(many)) == 2500
    assert await suppressions.add_all(iter(many)) == 2500
    listed = [one async for one in suppressions.all()]
    assert len(listed) == 2501
    assert (listed[0].address, listed[0].list_name, listed[0].reason) == ("ann@example.com", "news", "unsubscribe")
    assert [one.address async for one in suppressions.all("news")] == ["ann@example.com"]
    assert await suppressions.remove("ANN@example.com", "news")
    assert not await suppressions.remove("ann@example.com", "news")
