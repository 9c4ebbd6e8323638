"""What follows from a bounce or a complaint: in the ledger, the suppressions, and the mailing; once, and wholly."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.database.engine import Database
from celeriac.families.email.inbound.model import Feedback, Kind, Place
from celeriac.families.email.inbound.store import ComplaintLimit, FeedbackStore, Recorded
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Counts, Mailing, MailingState, Sent, Status
from celeriac.families.email.suppression import Reason, Suppressions
from tests.support.mailings import outcomes, stored_mailing
from tests.support.slow import quick_first

both = pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def store(database: Database) -> FeedbackStore:
    return FeedbackStore(database, ComplaintLimit(rate=0.1, floor=2))


@pytest.fixture
def suppressions(database: Database) -> Suppressions:
    return Suppressions(database)


async def sent(ledger: Ledger, count: int, *, left: int = 0, **changes: str) -> Mailing:
    """A mailing that so many got, at positions from 2; `left` more are still open."""
    mailing = await stored_mailing(ledger, count + left, **changes)
    for position in range(2, count + 2):
        await ledger.advance(mailing.id, "test", following=(position, f"<{position}.{mailing.id}@example.com>"))
        await ledger.advance(mailing.id, "test", done=(position, Sent(250)))
    return mailing


def told(mailing: Mailing, position: int, kind: Kind = Kind.HARD_BOUNCE, event: str = "") -> Feedback:
    return Feedback(
        kind=kind,
        source="test",
        event=event or f"{mailing.id}/{position}",
        place=Place(mailing.id, position),
        status="5.1.1",
        diagnostic="550 no such user",
    )


@both
async def test_a_bounce_after_the_server_took_the_mail_changes_the_outcome(
    ledger: Ledger, store: FeedbackStore, suppressions: Suppressions
) -> None:
    mailing = await sent(ledger, 3)
    assert await store.record(told(mailing, 3)) == Recorded(matched=True, new=True)
    assert await ledger.counts(mailing.id) == Counts(sent=2, failed=1)
    outcome = (await outcomes(ledger, mailing))["user3@example.com"]
    assert (outcome.status, outcome.error) == (Status.FAILED, "bounced: 5.1.1 550 no such user")
    (one,) = await suppressions.of("user3@example.com")
    assert (one.list_name, one.reason, one.source) == ("", Reason.HARD_BOUNCE, f"test, mailing {mailing.id}")
    assert (await store.counts(mailing.id))[Kind.HARD_BOUNCE] == 1


@on_sqlite
async def test_a_soft_bounce_fails_its_mail_and_suppresses_nobody(
    ledger: Ledger, store: FeedbackStore, suppressions: Suppressions
) -> None:
    mailing = await sent(ledger, 1)
    await store.record(told(mailing, 2, Kind.SOFT_BOUNCE))
    assert await ledger.counts(mailing.id) == Counts(failed=1)
    assert await suppressions.of("user2@example.com") == []


@both
async def test_what_is_told_many_times_at_once_counts_once(
    ledger: Ledger, store: FeedbackStore, suppressions: Suppressions
) -> None:
    mailing = await sent(ledger, 20)
    recorded = await asyncio.gather(*(store.record(told(mailing, 2, Kind.COMPLAINT)) for _ in range(8)))
    assert sum(one.new for one in recorded) == 1
    assert (await store.counts(mailing.id))[Kind.COMPLAINT] == 1
    assert [one.reason for one in await suppressions.of("user2@example.com")] == [Reason.COMPLAINT]


@on_sqlite
async def test_a_bounce_that_is_faster_than_the_senders_record_stays(ledger: Ledger, store: FeedbackStore) -> None:
    mailing = await stored_mailing(ledger, 1)
    await ledger.advance(mailing.id, "sender", following=(2, "<2@test>"))
    await store.record(told(mailing, 2))
    await ledger.advance(mailing.id, "sender", done=(2, Sent(250)))
    assert await ledger.counts(mailing.id) == Counts(failed=1)


@on_sqlite
async def test_a_message_id_of_a_mail_that_was_sent_finds_its_recipient(
    ledger: Ledger, store: FeedbackStore, suppressions: Suppressions
) -> None:
    mailing = await sent(ledger, 1)
    right = Feedback(
        kind=Kind.HARD_BOUNCE, source="p", event="1", message_id=f"<2.{mailing.id}@example.com>", address="x@y.example"
    )
    assert (await store.record(right)).new
    assert await ledger.counts(mailing.id) == Counts(failed=1)
    assert await suppressions.of("x@y.example") == [], "the ledger's address counts"
    for message_id in (f"<2.{mailing.id}@other.example>", "<2@x>", "nonsense", "<9999999999.a@b>"):
        wrong = Feedback(kind=Kind.HARD_BOUNCE, source="p", event=message_id, message_id=message_id)
        assert await store.record(wrong) == Recorded(matched=False)


@on_sqlite
async def test_an_address_alone_is_suppressed(store: FeedbackStore, suppressions: Suppressions) -> None:
    feedback = Feedback(kind=Kind.COMPLAINT, source="p", event="1", address="Ann@example.com")
    assert await store.record(feedback) == Recorded(matched=True, new=True)
    assert [one.reason for one in await suppressions.of("ann@example.com")] == [Reason.COMPLAINT]
    long = Feedback(kind=Kind.COMPLAINT, source="p", event="2", address="a" * 400)
    assert await store.record(long) == Recorded(matched=False)


@both
async def test_a_mailing_stops_by_itself_at_too_many_complaints(ledger: Ledger, store: FeedbackStore) -> None:
    mailing = await sent(ledger, 19, left=5)
    assert (await store.record(told(mailing, 2, Kind.COMPLAINT))).stopped is None, "below the floor"
    assert (await ledger.mailing(mailing.id)).stopped is None
    stopped = (await store.record(told(mailing, 3, Kind.COMPLAINT))).stopped
    assert stopped == "2 of 19 recipients complained, more than 10.00% (complaints)"
    assert (await ledger.mailing(mailing.id)).stopped == stopped


@on_sqlite
@pytest.mark.parametrize(("count", "left"), [(20, 5), (5, 0)])
async def test_it_goes_on_at_the_rate_itself_and_is_not_stopped_when_it_has_ended(
    ledger: Ledger, store: FeedbackStore, count: int, left: int
) -> None:
    mailing = await sent(ledger, count, left=left)
    for position in (2, 3):
        assert (await store.record(told(mailing, position, Kind.COMPLAINT))).stopped is None
    assert (await ledger.mailing(mailing.id)).stopped is None


@on_sqlite
async def test_a_deleted_mailing_is_unknown(ledger: Ledger, store: FeedbackStore) -> None:
    mailing = await sent(ledger, 1)
    await ledger.discard(mailing.id)
    assert await store.record(told(mailing, 2)) == Recorded(matched=False)
    assert await store.recipient(mailing.id, 2) is None


@both
async def test_a_mailing_that_stopped_at_complaints_goes_on_only_when_somebody_resumes_it(
    ledger: Ledger, store: FeedbackStore
) -> None:
    """Its job may wait for a limit at that moment, and wakes later by itself."""
    mailing = await sent(ledger, 10, left=5)
    for position in (2, 3):
        await store.record(told(mailing, position, Kind.COMPLAINT))
    state, _ = await ledger.life.begin(mailing.id)
    assert state is MailingState.STOPPED
    assert "2 of 10 recipients complained" in str((await ledger.mailing(mailing.id)).stopped)
    assert await ledger.life.resume(mailing.id) is MailingState.SENDING
    assert (await ledger.life.begin(mailing.id))[0] is MailingState.SENDING


@both
async def test_a_mailing_that_was_resumed_is_judged_by_the_mails_that_come_after(
    ledger: Ledger, store: FeedbackStore
) -> None:
    mailing = await sent(ledger, 10, left=5)
    for position in (2, 3):
        await store.record(told(mailing, position, Kind.COMPLAINT))
    await ledger.life.resume(mailing.id)
    for position in (4, 5, 6):
        assert (await store.record(told(mailing, position, Kind.COMPLAINT))).stopped is None, "a mail of before"
    for position in (12, 13, 14):
        await ledger.advance(mailing.id, "test", following=(position, f"<{position}.{mailing.id}@example.com>"))
        await ledger.advance(mailing.id, "test", done=(position, Sent(250)))
    assert (await store.record(told(mailing, 12, Kind.COMPLAINT))).stopped is None, "one, below the floor"
    stopped = (await store.record(told(mailing, 13, Kind.COMPLAINT))).stopped
    assert stopped == "2 of 3 recipients complained, more than 10.00% (complaints), since it was resumed"
    assert (await ledger.mailing(mailing.id)).stopped == stopped
