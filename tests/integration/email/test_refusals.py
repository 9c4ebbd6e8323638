"""What the refusals of a mail server do to recipients and to the mailing, from a real dialogue to the ledger."""

from __future__ import annotations

import pytest

from celeriac.database.engine import Database
from celeriac.families.email.judgement import StopAt
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Counts, Mailing, Recipient, Status
from celeriac.families.email.replies import Verdict
from tests.support.mailings import let_waiting_end, new_mailing, outcomes, send, stored_mailing
from tests.support.slow import quick_first
from tests.support.smtp_script import DROP, PIPELINES, smtp_script

pytestmark = pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)

BLOCKED = "550 5.7.1 blocked by policy"
UNKNOWN = "550 5.1.1 no such user"


async def kinds(ledger: Ledger, mailing: Mailing) -> dict[str | None, int]:
    return await ledger.failures(mailing.id)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(UNKNOWN, Verdict.HARD), ("552 5.2.2 full", Verdict.SOFT), ("553 5.2.1 disabled", Verdict.HARD)],
)
async def test_a_recipients_failure_is_recorded_with_its_kind_and_the_others_get_their_mail(
    ledger: Ledger, reply: str, kind: Verdict
) -> None:
    mailing = await stored_mailing(ledger, 6)
    async with smtp_script(EHLO=PIPELINES, **{"RCPT user4@example.com": reply}) as server:
        run = await send(ledger, mailing, server.url)
    assert (run.sent, run.failed, run.deferred, run.held) == (5, 1, 0, 0)
    assert await kinds(ledger, mailing) == {kind: 1}
    failed = (await outcomes(ledger, mailing))["user4@example.com"]
    assert (failed.status, failed.code, failed.error) == (Status.FAILED, int(reply[:3]), reply[4:])
    assert server.connections == 1
    assert len(server.recipients) == len(set(server.recipients)) == 5
    assert server.heard.count(".") == 6, "a message for nobody is ended at once"


@pytest.mark.parametrize("ehlo", [PIPELINES, PIPELINES.replace("250-PIPELINING\r\n", "")], ids=["ahead", "in turn"])
@pytest.mark.parametrize("stage", ["RCPT", "DATA", "end"])
@pytest.mark.parametrize("reply", [BLOCKED, "554 5.3.4 too big"])
async def test_a_policy_that_meets_the_first_mail_stops_the_mailing_and_fails_nobody(
    ledger: Ledger, stage: str, ehlo: str, reply: str
) -> None:
    mailing = await stored_mailing(ledger, 20)
    async with smtp_script(EHLO=ehlo, **{stage: reply}) as server:
        run = await send(ledger, mailing, server.url)
        assert (run.sent, run.failed, run.hopeless) == (0, 0, True)
        assert run.reason is not None
        assert reply in run.reason
        assert await ledger.counts(mailing.id) == Counts(pending=20)
        assert sum(line.startswith("RCPT") for line in server.heard) <= 2, "the others were left alone"
        del server.replies["." if stage == "end" else stage]
        await ledger.life.stop(mailing.id, "somebody looks at it")
        await ledger.life.resume(mailing.id)
        again = await send(ledger, mailing, server.url)
    assert (again.sent, again.failed, again.held) == (20, 0, 0)
    assert sorted(server.recipients) == sorted(f"user{n}@example.com" for n in range(2, 22))


async def test_a_policy_that_meets_one_among_others_holds_that_one_until_the_mailing_is_resumed(
    ledger: Ledger,
) -> None:
    mailing = await stored_mailing(ledger, 10)
    async with smtp_script(EHLO=PIPELINES, **{"RCPT user6@example.com": BLOCKED}) as server:
        run = await send(ledger, mailing, server.url)
        assert (run.sent, run.failed, run.deferred, run.held, run.hopeless) == (9, 0, 0, 1, False)
        assert "550 5.7.1 blocked by policy" in (await ledger.held(mailing.id) or "")
        assert (await send(ledger, mailing, server.url, final=True)).held == 1, "it is not even asked for"
        await ledger.life.stop(mailing.id, "somebody looks at it")
        await ledger.life.resume(mailing.id)
        assert await ledger.held(mailing.id) is None
        resumed = await send(ledger, mailing, server.url)
    assert (resumed.sent, resumed.failed, resumed.held) == (0, 1, 0)
    assert await kinds(ledger, mailing) == {Verdict.POLICY: 1}


async def test_a_policy_that_begins_in_the_middle_stops_the_mailing_after_three(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 50)
    blocked = {f"RCPT user{n}@example.com": BLOCKED for n in range(10, 60)}
    async with smtp_script(EHLO=PIPELINES, **blocked) as server:
        run = await send(ledger, mailing, server.url)
    assert (run.sent, run.failed, run.held, run.hopeless) == (8, 0, 3, True)
    assert await ledger.counts(mailing.id) == Counts(sent=8, pending=42)


@pytest.mark.parametrize(("reply", "name"), [(UNKNOWN, "hard"), ("550 5.2.2 full", "soft")])
async def test_a_mailing_stops_by_itself_at_a_rate_of_failures(ledger: Ledger, reply: str, name: str) -> None:
    mailing = await stored_mailing(ledger, 100)
    refused = {f"RCPT user{n}@example.com": reply for n in range(2, 102, 4)}  # one in four
    async with smtp_script(EHLO=PIPELINES, **refused) as server:
        few = await send(ledger, mailing, server.url, range_=(0, 12), stop_at=StopAt(floor=20))
        assert (few.failed, few.hopeless) == (3, False), "3 of 11 say little"
        limits = {"hard": StopAt(hard=20, floor=20), "soft": StopAt(soft=20, floor=20)}
        run = await send(ledger, mailing, server.url, stop_at=limits[name])
    assert run.hopeless
    assert run.reason is not None
    assert run.reason.startswith(f"too many {name} failures: ")
    assert "the limit is 20 %" in run.reason
    counts = await ledger.counts(mailing.id)
    assert 20 <= counts.finished < 60
    assert counts.sending == 0


async def test_a_mailing_that_was_resumed_after_a_stop_is_judged_by_what_came_after(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 100)
    refused = {f"RCPT user{n}@example.com": UNKNOWN for n in [*range(2, 22), 50, 60, *range(80, 102)]}
    limits = StopAt(hard=20, floor=20)
    async with smtp_script(EHLO=PIPELINES, **refused) as server:
        first = await send(ledger, mailing, server.url, stop_at=limits)
        assert (first.failed, first.hopeless) == (20, True)
        await ledger.life.stop(mailing.id, str(first.reason))
        await ledger.life.resume(mailing.id)
        resumed = await ledger.mailing(mailing.id)
        half = await send(ledger, resumed, server.url, range_=(0, 79), stop_at=limits)
        assert (first.sent + half.sent, half.failed, half.deferred, half.hopeless) == (56, 2, 0, False)
        await ledger.life.pause(mailing.id)
        await ledger.life.resume(mailing.id)  # a pause forgets nothing
        rest = await send(ledger, await ledger.mailing(mailing.id), server.url, stop_at=limits)
    assert rest.hopeless
    assert rest.reason is not None
    assert rest.reason.endswith("the limit is 20 %) since it was resumed")


async def test_a_domain_that_is_busy_is_left_alone_and_the_others_are_not_behind_it(
    database: Database, ledger: Ledger
) -> None:
    people = [
        Recipient(n, f"user{n}@{'busy.example' if n % 2 else 'quick.example'}", {"name": "x"}) for n in range(1, 21)
    ]
    mailing = new_mailing()
    await ledger.create(mailing, people)
    async with smtp_script(EHLO=PIPELINES, **{"RCPT busy.example": "451 4.7.0 too many mails"}) as server:
        run = await send(ledger, mailing, server.url)
        assert (run.sent, run.failed, run.deferred, run.reason) == (10, 0, 10, "4.7.0 too many mails")
        assert sum("busy.example" in line for line in server.heard) == 1
        assert sorted(server.recipients) == sorted(p.address for p in people if "quick" in p.address)
        del server.replies["RCPT busy.example"]
        assert (await send(ledger, mailing, server.url)).sent == 9, "all but the one that was refused"
        await let_waiting_end(database, mailing)
        assert (await send(ledger, mailing, server.url)).sent == 1
    assert sorted(server.recipients) == sorted(p.address for p in people)


async def test_greylisting_delays_each_recipient_and_not_its_domain(database: Database, ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 2)
    async with smtp_script(EHLO=PIPELINES, RCPT="450 4.7.1 Greylisted, try again in 300 s") as server:
        run = await send(ledger, mailing, server.url)
        assert (run.sent, run.deferred) == (0, 2)
        assert sum(line.startswith("RCPT") for line in server.heard) == 2
        del server.replies["RCPT"]
        await let_waiting_end(database, mailing)
        assert (await send(ledger, mailing, server.url)).sent == 2


async def test_recipients_that_wait_are_tried_once_more_before_they_are_given_up(ledger: Ledger) -> None:
    mailing = await stored_mailing(ledger, 3)
    async with smtp_script(EHLO=PIPELINES, RCPT="451 4.3.0 in trouble") as server:
        assert (await send(ledger, mailing, server.url)).deferred == 3
        last = await send(ledger, mailing, server.url, final=True)
    assert (last.failed, last.deferred) == (3, 0)
    assert await kinds(ledger, mailing) == {Verdict.SOFT: 3}


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "end"])
async def test_a_connection_that_breaks_loses_no_mail(ledger: Ledger, stage: str) -> None:
    mailing = await stored_mailing(ledger, 8)
    async with smtp_script(EHLO=PIPELINES) as server:
        assert (await send(ledger, mailing, server.url, range_=(0, 4))).sent == 3
        server.replies["." if stage == "end" else stage] = DROP
        run = await send(ledger, mailing, server.url)
        assert (run.sent, run.failed, run.deferred) == (0, 0, 5)
        assert await ledger.counts(mailing.id) == Counts(sent=3, pending=5)
        server.replies = {"EHLO": PIPELINES}
        assert (await send(ledger, mailing, server.url)).sent == 5
    assert len(server.recipients) == len(set(server.recipients)) == 8
