"""A sender is killed in the middle of a mailing, and another takes over."""

import asyncio
import signal
import sys

from celeriac.database.engine import Database
from celeriac.jobs.email.ledger import Ledger
from celeriac.jobs.email.model import Counts, Status
from demo.sink import MailSink
from tests.support.mailings import outcomes, send, stored_mailing

RECIPIENTS = 400


async def test_a_sender_killed_in_the_middle_costs_no_mail_and_repeats_none_that_is_recorded(
    database: Database, database_url: str, sink: MailSink
) -> None:
    ledger = Ledger(database, claim_seconds=2)
    mailing = await stored_mailing(ledger, RECIPIENTS)
    mails_when_recorded = dict[str, int]()
    for kills, delivered in enumerate((100, 200), start=1):
        await kill_a_sender_after(delivered, database_url, mailing.id, sink)
        now = await outcomes(ledger, mailing)
        mails = sink.mails_per_recipient()
        for address, outcome in now.items():
            if outcome.status is Status.SENT:
                mails_when_recorded.setdefault(address, mails[address])
        assert sum(outcome.status is Status.SENDING for outcome in now.values()) <= kills
    assert len(mails_when_recorded) >= 198  # of at least 200 mails, but for one that each kill may have cut short

    last = await send(ledger, mailing, sink.url)

    mails = sink.mails_per_recipient()
    assert len(mails) == RECIPIENTS
    assert {address: mails[address] for address in mails_when_recorded} == mails_when_recorded
    assert sink.duplicates <= 2  # one connection's window per kill
    assert len(sink.mails_per_message_id()) == RECIPIENTS  # a repeated mail is recognisable
    assert last.deferred == 0
    assert await ledger.counts(mailing.id) == Counts(sent=RECIPIENTS)


async def kill_a_sender_after(delivered: int, database_url: str, mailing_id: str, sink: MailSink) -> None:
    arguments = ("-m", "tests.support.mailing_sender", database_url, mailing_id, sink.url)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        await sink.wait_for(delivered)
    finally:
        process.kill()
        assert await process.wait() == -signal.SIGKILL
