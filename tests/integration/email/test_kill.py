"""Senders in processes of their own: killed in the middle of a mailing, and several at once."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from celeriac.database.engine import Database
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Counts, Status
from tests.support.mailings import outcomes, send, stored_mailing
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.warm import WarmProcess
from tests.support.workers import ROOT

RECIPIENTS = 400


@pytest.mark.parametrize("database_url", quick_first(["postgres", "sqlite"]), indirect=True)
async def test_a_sender_killed_in_the_middle_costs_no_mail_and_repeats_none_that_is_recorded(
    database: Database, database_url: str, sink: MailSink, tmp_path: Path
) -> None:
    ledger = Ledger(database, claim_seconds=2)
    mailing = await stored_mailing(ledger, RECIPIENTS)
    mails_when_recorded = dict[str, int]()
    for kills, delivered in enumerate((100, 200), start=1):
        await kill_a_sender_after(delivered, database_url, mailing.id, sink, tmp_path / "log")
        now = await outcomes(ledger, mailing)
        mails = sink.mails_per_recipient()
        for address, outcome in now.items():
            if outcome.status is Status.SENT:
                mails_when_recorded.setdefault(address, mails[address])
        claimed = sum(outcome.status is Status.SENDING for outcome in now.values())
        assert claimed <= 2 * kills  # one mail on its way, and the claim of the next
    assert len(mails_when_recorded) >= 198  # of at least 200 mails, but for one that each kill may have cut short

    last = await send(ledger, mailing, sink.url)

    mails = sink.mails_per_recipient()
    assert len(mails) == RECIPIENTS
    assert {address: mails[address] for address in mails_when_recorded} == mails_when_recorded
    assert sink.duplicates <= 2  # one connection's window per kill
    assert len(sink.mails_per_message_id()) == RECIPIENTS  # a repeated mail is recognisable
    assert last.deferred == 0
    assert await ledger.counts(mailing.id) == Counts(sent=RECIPIENTS)


@pytest.mark.parametrize("database_url", quick_first(["postgres", "sqlite"]), indirect=True)
@pytest.mark.slow
async def test_processes_that_send_the_same_mailing_share_it_without_a_duplicate(
    database: Database, database_url: str, sink: MailSink, tmp_path: Path
) -> None:
    ledger = Ledger(database)
    mailing = await stored_mailing(ledger, RECIPIENTS)
    sink.pause()  # until each of them has a mail on its way
    processes = [start_sender(database_url, mailing.id, sink, tmp_path / f"log-{number}") for number in range(3)]
    await eventually(lambda: sink.connections == 3, "three connections")
    sink.resume()
    assert [await asyncio.to_thread(process.wait, 60) for process in processes] == [0, 0, 0]
    assert len(sink.deliveries) == RECIPIENTS
    assert sink.duplicates == 0
    assert await ledger.counts(mailing.id) == Counts(sent=RECIPIENTS)


def start_sender(database_url: str, mailing_id: str, sink: MailSink, log: Path) -> WarmProcess:
    arguments = ["tests.support.mailing_sender", database_url, mailing_id, sink.url]
    return WarmProcess("module", arguments, cwd=ROOT, environment=os.environ, log=log)


async def kill_a_sender_after(delivered: int, database_url: str, mailing_id: str, sink: MailSink, log: Path) -> None:
    process = start_sender(database_url, mailing_id, sink, log)
    try:
        await sink.wait_for(delivered)
    finally:
        process.end()
    assert process.poll() == -signal.SIGKILL, process.output
