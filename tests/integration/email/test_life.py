"""The states of a mailing in the database, and that senders keep to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import product

import pytest
from sqlalchemy import delete, update

from celeriac.core.errors import UnknownJob, WrongState
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Counts, MailingState, PermanentFailure, Sent
from celeriac.families.email.tables import mailing_table, recipient_table
from tests.support.mailings import send, stored_mailing
from tests.support.slow import quick_first

DRAFT, SCHEDULED, SENDING = MailingState.DRAFT, MailingState.SCHEDULED, MailingState.SENDING
PAUSED, STOPPED = MailingState.PAUSED, MailingState.STOPPED
DONE, CANCELLED = MailingState.DONE, MailingState.CANCELLED
HOUR = 3_600_000

pytestmark = pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)


async def put(database: Database, mailing_id: str, **columns: object) -> None:
    """Write columns of a mailing, as if time had passed."""
    statement = update(mailing_table).where(mailing_table.c.id == mailing_id).values(columns)
    await database.write(lambda connection: connection.execute(statement))


async def test_each_change_leads_from_the_states_that_allow_it_and_from_no_other(
    database: Database, ledger: Ledger
) -> None:
    life = ledger.life
    mailing = await stored_mailing(ledger, 1)
    changes: dict[Callable[[str], Awaitable[MailingState]], dict[MailingState, MailingState]] = {
        life.start: {DRAFT: SENDING},
        life.pause: {SENDING: PAUSED, SCHEDULED: PAUSED, PAUSED: PAUSED},
        life.resume: {PAUSED: SENDING, STOPPED: SENDING},
        life.cancel: dict.fromkeys((DRAFT, SCHEDULED, SENDING, PAUSED, STOPPED, CANCELLED), CANCELLED),
    }
    for (change, allowed), state in product(changes.items(), MailingState):
        await put(database, mailing.id, state=state)
        if state in allowed:
            assert await change(mailing.id) is allowed[state]
        else:
            with pytest.raises(WrongState, match=f"the mailing is {state}, so it cannot be"):
                await change(mailing.id)
            assert (await ledger.mailing(mailing.id)).state is state
    for change in changes:
        with pytest.raises(UnknownJob):
            await change("unknown")


@pytest.mark.parametrize("state", [DRAFT, SCHEDULED, PAUSED, STOPPED, DONE, CANCELLED])
async def test_nothing_is_sent_in_any_other_state(
    database: Database, ledger: Ledger, sink: MailSink, state: MailingState
) -> None:
    mailing = await stored_mailing(ledger, 3)
    await put(database, mailing.id, state=state)
    outcome = await send(ledger, mailing, sink.url)
    assert (outcome.sent, outcome.failed, outcome.deferred) == (0, 0, 0)
    assert await ledger.advance(mailing.id, "me", following=(2, "<1@x>")) is False
    assert not sink.deliveries
    await put(database, mailing.id, state=SENDING)
    assert (await send(ledger, mailing, sink.url)).sent == 3


async def test_a_pause_in_the_middle_takes_effect_with_the_next_mail_and_nobody_is_repeated(
    ledger: Ledger, sink: MailSink
) -> None:
    mailing = await stored_mailing(ledger, 60)
    sink.pause()
    senders = [asyncio.create_task(send(ledger, mailing, sink.url)) for _ in range(3)]
    while sink.connections < 3:
        await asyncio.sleep(0.01)
    await ledger.life.pause(mailing.id)
    sink.resume()
    await asyncio.gather(*senders)
    assert len(sink.deliveries) <= 6  # those on their way, and those that were claimed before
    counts = await ledger.counts(mailing.id)
    assert counts.sent == len(sink.deliveries)
    await ledger.life.resume(mailing.id)
    await asyncio.gather(*(send(ledger, mailing, sink.url) for _ in range(3)))
    assert await ledger.counts(mailing.id) == Counts(sent=60)
    assert sink.duplicates == 0


async def test_a_mailing_that_comes_too_late_sends_nothing_and_says_why(
    database: Database, ledger: Ledger, sink: MailSink
) -> None:
    mailing = await stored_mailing(ledger, 3)
    await put(database, mailing.id, sends_until=now_ms() - 1)  # as a snapshot of yesterday
    assert (await send(ledger, mailing, sink.url)).sent == 0
    assert (await ledger.life.begin(mailing.id))[0] is STOPPED
    stopped = (await ledger.mailing(mailing.id)).stopped
    assert stopped and "too late: nothing of the mailing was sent for long" in stopped
    assert (await ledger.life.begin(mailing.id))[0] is STOPPED  # a job from an old backup does not start it again
    assert not sink.deliveries

    await ledger.life.resume(mailing.id)  # somebody wants it all the same
    assert (await send(ledger, mailing, sink.url)).sent == 3


async def test_the_time_that_a_sender_has_set_is_final(database: Database, ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 3)
    await put(database, mailing.id, not_after=now_ms() - 1)
    await ledger.life.mark_alive(mailing.id)
    assert (await send(ledger, mailing, sink.url)).sent == 0
    assert (await ledger.life.mark_alive(mailing.id)) is STOPPED
    assert "was to be sent until" in str((await ledger.mailing(mailing.id)).stopped)
    with pytest.raises(WrongState, match="was to be sent until"):
        await ledger.life.resume(mailing.id)


async def test_a_mailing_that_is_being_sent_may_take_longer_than_the_idle_time(
    database: Database, ledger: Ledger
) -> None:
    mailing = await stored_mailing(ledger, 3)
    await put(database, mailing.id, sends_until=now_ms() + 60_000)
    assert await ledger.life.mark_alive(mailing.id) is SENDING
    await put(database, mailing.id, sends_until=mailing_table.c.sends_until - 24 * HOUR + 60_000)
    assert await ledger.life.mark_alive(mailing.id) is SENDING  # the first touch has moved the end by a day


async def test_a_retried_job_goes_on_with_a_mailing_that_has_just_stopped(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 3)
    await ledger.life.stop(mailing.id, "554 not you")
    assert (await ledger.mailing(mailing.id)).stopped == "554 not you"
    assert (await ledger.life.begin(mailing.id))[0] is SENDING
    assert (await ledger.mailing(mailing.id)).stopped is None
    await ledger.life.pause(mailing.id)
    await ledger.life.stop(mailing.id, "554 not you")  # a sender that has not heard of the pause
    assert (await ledger.life.begin(mailing.id))[0] is PAUSED


async def test_a_scheduled_mailing_waits_for_its_time(database: Database, ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 1)
    await put(database, mailing.id, state=DRAFT, send_at=now_ms() + HOUR)
    assert await ledger.life.start(mailing.id) is SCHEDULED
    state, wait = await ledger.life.begin(mailing.id)
    assert state is SCHEDULED and 3500 < wait <= 3600
    await put(database, mailing.id, send_at=now_ms())
    assert (await ledger.life.begin(mailing.id))[0] is SENDING


async def test_done_needs_an_outcome_for_each_recipient_that_was_stored(database: Database, ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 3)
    assert (await ledger.mailing(mailing.id)).recipients == 3
    for position, outcome in ((2, Sent(250)), (3, PermanentFailure(550, "no")), (4, Sent(250))):
        assert await ledger.life.finish(mailing.id) is False
        await ledger.advance(mailing.id, "me", following=(position, f"<{position}@x>"))
        await ledger.advance(mailing.id, "me", done=(position, outcome))
    gone = delete(recipient_table).where(recipient_table.c.mailing_id == mailing.id, recipient_table.c.position == 4)
    await put(database, mailing.id, recipients=4)  # one got lost
    assert await ledger.life.finish(mailing.id) is False
    await put(database, mailing.id, recipients=3)
    assert await ledger.life.finish(mailing.id) is True
    assert (await ledger.mailing(mailing.id)).state is DONE
    await database.write(lambda connection: connection.execute(gone))


async def test_mailings_are_listed_in_pages_newest_first(database: Database, ledger: Ledger) -> None:
    ids = [(await stored_mailing(ledger, 1)).id for _ in range(5)]
    for number, mailing_id in enumerate(ids):
        await put(database, mailing_id, created_at=1000 + number // 2)  # some in the same millisecond
    seen: list[str] = []
    before = None
    while page := await ledger.newest(2, before):
        seen += [mailing.id for mailing in page]
        before = (page[-1].created_at, page[-1].id)
    assert sorted(seen) == sorted(ids)
    assert seen[0] == ids[4]
