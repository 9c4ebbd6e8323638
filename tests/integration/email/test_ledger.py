"""The ledger on real databases."""

import asyncio
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from celeriac.core.errors import IdempotencyConflict, UnknownJob
from celeriac.database.engine import Database
from celeriac.families.email import advances
from celeriac.families.email.errors import RecipientsInvalid
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import (
    Counts,
    PermanentFailure,
    Recipient,
    RecipientOutcome,
    Sent,
    Status,
    TransientFailure,
)
from celeriac.families.email.outcome_csv import outcome_csv
from tests.support.mailings import EVERY_POSITION, new_mailing, outcomes, recipients, stored_mailing


async def claim(ledger: Ledger, mailing_id: str, position: int, by: str = "me") -> bool:
    return await ledger.advance(mailing_id, by, following=(position, f"<{position}@test>"))


async def test_a_mailing_comes_back_as_it_was_stored(ledger: Ledger) -> None:
    mailing = new_mailing(html="<p>{{ name }}</p>", list_unsubscribe="<https://example.com/u>")
    assert await ledger.create(mailing, recipients(3)) == 3
    stored = await ledger.mailing(mailing.id)
    assert stored == replace(mailing, recipients=3, created_at=stored.created_at)
    first, *_ = await ledger.open_recipients(mailing.id, *EVERY_POSITION)
    assert (first.position, first.address, first.variables) == (2, "user2@example.com", {"name": "Üser 2"})
    assert (first.attempts, first.message_id, first.held_ms) == (0, None, 0)


async def test_a_mailing_that_was_never_created_is_unknown(ledger: Ledger) -> None:
    with pytest.raises(UnknownJob):
        await ledger.mailing("nobody")
    assert await ledger.counts("nobody") == Counts()


async def test_nothing_is_left_of_a_mailing_whose_recipients_turn_out_wrong(ledger: Ledger) -> None:
    mailing = new_mailing()

    def wrong_at_the_end() -> Iterator[Recipient]:
        yield from recipients(2500)
        raise RecipientsInvalid([{"row": 2502, "column": "email", "message": "is wrong"}])

    with pytest.raises(RecipientsInvalid, match="row 2502"):
        await ledger.create(mailing, wrong_at_the_end())
    assert await ledger.counts(mailing.id) == Counts()
    with pytest.raises(UnknownJob):
        await ledger.mailing(mailing.id)
    assert await ledger.create(mailing, recipients(1)) == 1  # the id is free again


async def test_a_mailing_is_not_to_be_seen_before_all_its_recipients_are_stored(ledger: Ledger) -> None:
    mailing = new_mailing()
    loop = asyncio.get_running_loop()

    def looked_at_in_the_middle() -> Iterator[Recipient]:
        yield from recipients(2000)
        look = asyncio.run_coroutine_threadsafe(ledger.mailing(mailing.id), loop)
        with pytest.raises(UnknownJob):
            look.result(10)

    await ledger.create(mailing, looked_at_in_the_middle())
    assert (await ledger.mailing(mailing.id)).recipients == 2000


async def test_an_upload_that_is_cancelled_leaves_nothing(ledger: Ledger) -> None:
    mailing = new_mailing()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless() -> Iterator[Recipient]:
        yield from recipients(1000)
        loop.call_soon_threadsafe(begun.set)
        for row in range(2000, 1_000_000):
            yield Recipient(row, f"user{row}@example.com", {})

    creating = asyncio.create_task(ledger.create(mailing, endless()))
    await asyncio.wait_for(begun.wait(), 20)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert await ledger.counts(mailing.id) == Counts()


async def test_the_id_of_a_mailing_cannot_be_used_twice(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 2)
    with pytest.raises(IdempotencyConflict):
        await ledger.create(mailing, recipients(5))
    assert (await ledger.counts(mailing.id)).total == 2


async def test_ranges_cover_what_is_open_and_nothing_else(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 30)
    for position in range(10, 20):
        assert await claim(ledger, mailing.id, position)
        await ledger.advance(mailing.id, "me", done=(position, Sent(250)))
    ranges = await ledger.open_ranges(mailing.id, 10)
    assert ranges == [(0, 9), (20, 29), (30, 39)]
    found = [r.position for range_ in ranges for r in await ledger.open_recipients(mailing.id, *range_)]
    assert found == [*range(2, 10), *range(20, 32)]


async def test_each_outcome_is_recorded_as_what_it_is(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 3)
    results = {2: Sent(250), 3: PermanentFailure(550, "no such user"), 4: TransientFailure(None, "connection lost")}
    for position, result in results.items():
        assert await claim(ledger, mailing.id, position)
        await ledger.advance(mailing.id, "me", done=(position, result))
    assert list((await outcomes(ledger, mailing)).values()) == [
        RecipientOutcome(2, "user2@example.com", Status.SENT, 1, 250, None, "<2@test>"),
        RecipientOutcome(3, "user3@example.com", Status.FAILED, 1, 550, "no such user", "<3@test>"),
        RecipientOutcome(4, "user4@example.com", Status.PENDING, 1, None, "connection lost", "<4@test>"),
    ]
    assert await ledger.counts(mailing.id) == Counts(pending=1, sent=1, failed=1)


async def test_one_transaction_records_an_outcome_and_claims_the_next(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 2)
    assert await claim(ledger, mailing.id, 2)
    assert await ledger.advance(mailing.id, "me", done=(2, Sent(250)), following=(3, "<3@test>"))
    assert await ledger.counts(mailing.id) == Counts(sent=1, sending=1)


async def test_of_many_senders_one_gets_the_recipient(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 1)
    claims = await asyncio.gather(*(claim(ledger, mailing.id, 2, by=f"sender {n}") for n in range(10)))
    assert sorted(claims) == [False] * 9 + [True]
    (recipient,) = await ledger.open_recipients(mailing.id, *EVERY_POSITION)
    assert recipient.held_ms > 0
    assert recipient.attempts == 1


async def test_an_expired_claim_is_taken_over_and_the_message_id_stays_known(database: Database) -> None:
    ledger = Ledger(database, claim_seconds=0)
    mailing = await stored_mailing(ledger, 1)
    assert await claim(ledger, mailing.id, 2, by="dead")
    (recipient,) = await ledger.open_recipients(mailing.id, *EVERY_POSITION)
    assert (recipient.held_ms, recipient.message_id) == (0, "<2@test>")
    assert await claim(ledger, mailing.id, 2, by="next")


async def test_a_sender_that_lost_its_claim_can_record_only_that_it_has_sent(database: Database) -> None:
    ledger = Ledger(database, claim_seconds=0)
    mailing = await stored_mailing(ledger, 1)
    await claim(ledger, mailing.id, 2, by="slow")
    await claim(ledger, mailing.id, 2, by="next")
    await ledger.advance(mailing.id, "slow", done=(2, PermanentFailure(550, "no")))
    assert await ledger.counts(mailing.id) == Counts(sending=1)
    await ledger.advance(mailing.id, "slow", done=(2, Sent(250)))
    await ledger.advance(mailing.id, "next", done=(2, PermanentFailure(550, "no")))
    assert await ledger.counts(mailing.id) == Counts(sent=1)


async def test_a_recipient_with_an_outcome_is_never_claimed_again(database: Database) -> None:
    ledger = Ledger(database, claim_seconds=0)
    mailing = await stored_mailing(ledger, 2)
    await claim(ledger, mailing.id, 2)
    await ledger.advance(mailing.id, "me", done=(2, Sent(250)), following=(3, "<3@test>"))
    await ledger.advance(mailing.id, "me", done=(3, PermanentFailure(550, "no")))
    assert not await claim(ledger, mailing.id, 2, by="other")
    assert not await claim(ledger, mailing.id, 3, by="other")


async def test_outcomes_come_in_order_through_all_pages(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 2345)
    positions = [outcome.position async for outcome in ledger.outcomes(mailing.id)]
    assert positions == list(range(2, 2347))


async def test_the_export_has_a_line_for_each_recipient(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 1200)
    await claim(ledger, mailing.id, 2)
    await ledger.advance(mailing.id, "me", done=(2, PermanentFailure(550, "=cmd|' /C calc'!A0")))
    pieces = [piece async for piece in outcome_csv(ledger.outcomes(mailing.id))]
    assert len(pieces) > 1
    lines = b"".join(pieces).decode().split("\r\n")
    assert lines[0] == "row,email,status,attempts,code,error,message_id"
    assert lines[1] == "2,user2@example.com,failed,1,550,'=cmd|' /C calc'!A0,<2@test>"
    assert lines[2] == "3,user3@example.com,pending,0,,,"
    assert len(lines) == 1202


async def test_progress_of_a_large_mailing_is_cheap_to_ask_for(ledger: Ledger) -> None:
    """The database counts: it is asked one question, and none of the 20,000 rows comes here."""
    mailing = await stored_mailing(ledger, 20_000)
    await ledger.counts(mailing.id)  # makes what the first question needs
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement.lstrip())

    event.listen(Engine, "before_cursor_execute", note)
    tracemalloc.start()
    try:
        for _ in range(20):
            assert (await ledger.counts(mailing.id)).pending == 20_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
        event.remove(Engine, "before_cursor_execute", note)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 20


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_senders_share_transactions_and_wait_for_no_one_that_is_silent(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = list[int]()
    apply = advances._apply  # pyright: ignore[reportPrivateUsage]

    def counted(connection: Connection, asked: Sequence[advances.Advance]) -> set[tuple[Any, ...]]:
        transactions.append(len(asked))
        return apply(connection, asked)

    monkeypatch.setattr(advances, "_apply", counted)
    monkeypatch.setattr(advances, "_GATHER_S", 3600.0)
    mailing = await stored_mailing(ledger, 10)
    with ledger.sender(), ledger.sender(), ledger.sender(), ledger.sender():
        claims = list[asyncio.Task[bool]]()
        for position in (2, 3, 4):  # three of four, each at another time
            assert transactions == []
            claims.append(asyncio.create_task(claim(ledger, mailing.id, position)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert await asyncio.gather(*claims) == [True] * 3
        assert transactions == [3]
        monkeypatch.setattr(advances, "_GATHER_S", 0.001)
        assert await claim(ledger, mailing.id, 5), "a moment later it goes on without the others"
    assert await claim(ledger, mailing.id, 6)
    assert transactions == [3, 1, 1]


async def test_claims_that_are_not_granted_are_told_from_those_that_are(ledger: Ledger) -> None:
    mailing, paused = await stored_mailing(ledger, 6), await stored_mailing(ledger, 2)
    await ledger.life.pause(paused.id)
    assert await claim(ledger, mailing.id, 3, "another")
    claims = [claim(ledger, mailing.id, position) for position in (2, 3, 4, 99)]
    claims += [claim(ledger, paused.id, 2), claim(ledger, "nobody", 2), claim(ledger, mailing.id, 4, "third")]
    first, others, last = (granted := await asyncio.gather(*claims))[2], granted[:2] + granted[3:6], granted[6]
    assert others == [True, False, False, False, False]
    assert [first, last].count(True) == 1
    assert await ledger.counts(mailing.id) == Counts(pending=3, sending=3)


async def test_a_thousand_senders_may_speak_at_once(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 1_000)
    positions = range(2, 1_002)
    assert all(await asyncio.gather(*(claim(ledger, mailing.id, position) for position in positions)))
    done = [ledger.advance(mailing.id, "me", done=(position, Sent(250))) for position in positions]
    await asyncio.gather(*done)
    assert await ledger.counts(mailing.id) == Counts(sent=1_000)
