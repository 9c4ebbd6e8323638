"""Limits of mail servers and recipients' domains over all senders, and mail servers that take over from others."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import suppress

import pytest

from celeriac import Celeriac, Limit
from celeriac.client.limits import Taken
from celeriac.database.engine import Database
from celeriac.families.email import domains
from celeriac.families.email.courier import Courier
from celeriac.families.email.demo.sink import MailSink
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing, Recipient
from celeriac.families.email.quotas import parse_domain_limits
from celeriac.families.email.sending import ChunkOutcome, Sending
from celeriac.families.email.servers import Servers
from celeriac.families.email.smtp_url import parse_smtp_url
from tests.support.mailings import new_mailing, stored_mailing
from tests.support.smtp_script import smtp_script
from tests.support.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def courier(app: Celeriac, ledger: Ledger, *urls: str, bounds: str = "") -> Courier:
    servers = [parse_smtp_url(url) for url in urls]
    return Courier(ledger, Servers(lambda: servers, lambda: app.limits, parse_domain_limits(bounds)))


async def sent(courier: Courier, mailing: Mailing) -> ChunkOutcome:
    return await courier.send(mailing, 0, 1_000_000, Sending())


async def ended(*tasks: asyncio.Task[ChunkOutcome]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_domain_without_room_keeps_no_other_back(app: Celeriac, ledger: Ledger, sink: MailSink) -> None:
    mailing = new_mailing()
    domains = ["slow.example", "quick.example"]
    rows = [Recipient(row, f"user{row}@{domains[row % 2]}", {"name": "x"}) for row in range(2, 62)]
    await ledger.create(mailing, rows)
    sending = asyncio.create_task(sent(courier(app, ledger, sink.url, bounds="slow.example=0.001/s"), mailing))
    await sink.wait_for(31)
    arrived = Counter(delivery.recipient.rpartition("@")[2] for delivery in sink.deliveries)
    assert arrived == {"quick.example": 30, "slow.example": 1}
    await ended(sending)
    assert len(sink.deliveries) == 31


async def test_two_mailings_at_once_share_what_a_server_takes(app: Celeriac, ledger: Ledger, sink: MailSink) -> None:
    first, second = [await stored_mailing(ledger, 100) for _ in range(2)]
    through = courier(app, ledger, f"{sink.url}?rate=100&concurrency=2")
    sending = [asyncio.create_task(sent(through, mailing)) for mailing in (first, second)]
    await sink.wait_for(120)
    counts = [await ledger.counts(mailing.id) for mailing in (first, second)]
    assert min(count.sent for count in counts) >= 15, counts  # neither waits for the other's end
    assert [outcome.sent for outcome in await asyncio.gather(*sending)] == [100, 100]


async def test_a_daily_number_holds_over_all_senders(app: Celeriac, ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 60)
    url = f"{sink.url}?daily=25"
    sending = [asyncio.create_task(sent(courier(app, ledger, url), mailing)) for _ in range(3)]
    await sink.wait_for(20)
    await ledger.life.pause(mailing.id)
    await ended(*sending)
    assert len(sink.deliveries) <= 25
    counts = await ledger.counts(mailing.id)
    assert (counts.sent, counts.failed) == (len(sink.deliveries), 0)


async def test_a_server_that_is_away_is_put_aside_and_another_takes_over(
    app: Celeriac, ledger: Ledger, sink: MailSink
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        away = f"smtp://127.0.0.1:{taken.getsockname()[1]}?weight=1000000"
        mailing = await stored_mailing(ledger, 30)
        outcome = await sent(courier(app, ledger, away, sink.url), mailing)
        assert (outcome.sent, outcome.deferred) == (30, 0)
        assert len(sink.deliveries) == 30
        other = await stored_mailing(ledger, 3)
        outcome = await sent(courier(app, ledger, away), other)
        assert (outcome.sent, outcome.deferred, outcome.unavailable) == (0, 3, True)
        assert "cannot be used" in str(outcome.reason)


async def test_a_server_whose_day_is_over_gives_its_share_to_another(
    app: Celeriac, ledger: Ledger, sink: MailSink
) -> None:
    mailing = await stored_mailing(ledger, 30)
    async with MailSink() as other:
        through = courier(app, ledger, f"{sink.url}?daily=5&weight=1000000", other.url)
        outcome = await sent(through, mailing)
        assert (outcome.sent, outcome.deferred) == (30, 0)
        assert (len(sink.deliveries), len(other.deliveries)) == (5, 25)


async def test_who_has_to_wait_until_tomorrow_ends_and_says_so(app: Celeriac, ledger: Ledger, sink: MailSink) -> None:
    mailing = await stored_mailing(ledger, 30)
    outcome = await sent(courier(app, ledger, f"{sink.url}?daily=5"), mailing)
    assert (outcome.sent, outcome.failed, outcome.deferred) == (5, 0, 25)
    assert outcome.again_in is not None and 60 < outcome.again_in <= 86_400


async def test_no_more_connections_are_open_than_allowed(
    app: Celeriac, ledger: Ledger, sink: MailSink, database: Database
) -> None:
    mailings = [await stored_mailing(ledger, 5) for _ in range(4)]
    through = courier(app, ledger, f"{sink.url}?concurrency=1")
    sink.pause()
    sending = [asyncio.create_task(sent(through, mailing)) for mailing in mailings]
    await eventually(lambda: sink.connections == 1, "the first is connected")
    sink.resume()
    assert [outcome.sent for outcome in await asyncio.gather(*sending)] == [5] * 4
    assert sink.connections == 4  # one after the other


async def test_what_no_server_was_asked_for_does_not_count_against_its_day(
    app: Celeriac, ledger: Ledger, sink: MailSink
) -> None:
    mailing = new_mailing(text="{{ 100 / share }}")
    rows = [Recipient(row, f"user{row}@example.com", {"name": "x", "share": row % 2}) for row in range(2, 42)]
    await ledger.create(mailing, rows)
    outcome = await sent(courier(app, ledger, f"{sink.url}?daily=20"), mailing)
    assert (outcome.sent, outcome.failed, outcome.deferred) == (20, 20, 0)


async def test_a_server_that_is_away_keeps_its_day(app: Celeriac, ledger: Ledger, sink: MailSink) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        server = parse_smtp_url(f"smtp://127.0.0.1:{taken.getsockname()[1]}?daily=10")
        servers = Servers(lambda: [server], lambda: app.limits, {})
        mailing = await stored_mailing(ledger, 30)
        outcome = await sent(Courier(ledger, servers), mailing)
        assert (outcome.sent, outcome.unavailable) == (0, True)
        assert await servers.full_for() == 0.0
        taken_today = await app.limits.take([Limit(f"mail:server:{server.host}:{server.port}", daily=10)], units=10)
        assert isinstance(taken_today, Taken) and taken_today.units == 10


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "AUTH", "MAIL"])
@pytest.mark.parametrize("code", [454, 554])
async def test_a_server_that_refuses_us_at_any_stage_is_put_aside_and_another_takes_over(
    app: Celeriac, ledger: Ledger, sink: MailSink, stage: str, code: int
) -> None:
    reply = f"{code} {code // 100}.7.8 not you"
    async with smtp_script(**{stage: reply}, **({"HELO": reply} if stage == "EHLO" else {})) as refusing:
        mailing = await stored_mailing(ledger, 30)
        outcome = await sent(courier(app, ledger, f"{refusing.url}&weight=1000000", sink.url), mailing)
        assert (outcome.sent, outcome.failed, outcome.deferred) == (30, 0, 0)
        assert (refusing.connections, refusing.taken) == (1, 0), "it was asked, and once"
        assert (len(sink.deliveries), sink.duplicates) == (30, 0)


async def test_a_domain_that_asks_for_patience_gets_it_from_all_processes(
    app: Celeriac, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "_FIRST_S", 600.0)  # so long that nobody waits here
    async with smtp_script(**{"RCPT busy.example": "421 4.3.2 come later"}) as server:
        first, second = new_mailing(), new_mailing()
        for mailing in (first, second):
            rows = [Recipient(n, f"user{n}@{('busy', 'other')[n % 2]}.example", {"name": "x"}) for n in range(6)]
            await ledger.create(mailing, rows)
        one, another = (courier(app, ledger, server.url, bounds="*=1000/s") for _ in range(2))
        outcome = await sent(one, first)
        assert (outcome.sent, outcome.deferred) == (3, 3)
        asked = [line for line in server.heard if "@busy.example" in line]
        assert 1 <= len(asked) <= 2, "the commands of one more may be on their way"
        outcome = await sent(another, second)
        assert (outcome.sent, outcome.deferred, outcome.by_domain) == (3, 3, True)
        assert [line for line in server.heard if "@busy.example" in line] == asked, "the other process knew"
        assert outcome.again_in is not None and outcome.again_in > 60
