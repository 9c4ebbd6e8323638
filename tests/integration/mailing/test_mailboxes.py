"""Bounces that wait on an IMAP server or in a maildir: each is done when it was recorded, and counts once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from celeriac.families.email.errors import MailboxUnavailable
from celeriac.families.email.inbound.jobs import NAME, Polled, read_mailbox
from celeriac.families.email.inbound.mailbox import parse_mailbox_url
from celeriac.families.email.model import Counts
from tests.support.imap_server import PASSWORD, ImapServer, imap_server
from tests.support.post_office import PostOffice
from tests.support.returned import dsn

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def imap() -> AsyncGenerator[ImapServer]:
    async with imap_server() as server:
        yield server


async def poll(office: PostOffice, url: str) -> Polled:
    assert office.stationery.tokens is not None
    return await read_mailbox(parse_mailbox_url(url), office.feedback, office.stationery.tokens)


async def test_what_waits_on_an_imap_server_is_recorded_and_marked(office: PostOffice, imap: ImapServer) -> None:
    mailing = await office.sent(3)
    for position in (1, 2):
        imap.deliver(dsn(to=office.return_path(mailing, position)))
    imap.deliver(b"Subject: spam\r\n\r\nBuy!\r\n")
    assert await poll(office, imap.url) == Polled(messages=3, recorded=2, other=1)
    assert imap.unseen() == 0
    assert await office.ledger.counts(mailing.id) == Counts(sent=1, failed=2)
    assert await poll(office, imap.url) == Polled()


async def test_a_connection_that_breaks_before_the_mark_counts_nothing_twice(
    office: PostOffice, imap: ImapServer
) -> None:
    mailing = await office.sent(3)
    for position in (1, 2):
        imap.deliver(dsn(to=office.return_path(mailing, position)))
    imap.breaks_at = "STORE"
    with pytest.raises(MailboxUnavailable):
        await poll(office, imap.url)
    assert imap.unseen() == 2
    assert await office.ledger.counts(mailing.id) == Counts(sent=2, failed=1)
    assert await poll(office, imap.url) == Polled(messages=2, recorded=1)
    assert await office.ledger.counts(mailing.id) == Counts(sent=1, failed=2)


@pytest.mark.parametrize(("capabilities", "left"), [("MOVE UIDPLUS", 1), ("UIDPLUS", 1), ("", 2)])
async def test_what_is_done_can_be_moved_and_what_others_have_deleted_stays(
    office: PostOffice, capabilities: str, left: int
) -> None:
    """Without MOVE and UIDPLUS, a server can only delete all at once that anybody has marked."""
    mailing = await office.sent(1)
    async with imap_server(capabilities) as imap:
        imap.deliver(b"Subject: of somebody else")
        imap.folders["INBOX"][0].flags |= {"\\Seen", "\\Deleted"}
        imap.deliver(dsn(to=office.return_path(mailing, 1)))
        assert (await poll(office, f"{imap.url}?move=Done")).recorded == 1
        assert [len(imap.folders[name]) for name in ("INBOX", "Done")] == [left, 1]
        assert imap.folders["INBOX"][0].raw == b"Subject: of somebody else"
        assert await poll(office, f"{imap.url}?move=Done") == Polled()


async def test_a_huge_message_is_read_in_part(office: PostOffice, imap: ImapServer) -> None:
    mailing = await office.sent(1)
    imap.deliver(dsn(to=office.return_path(mailing, 1)) + b"x" * 3_000_000)
    assert (await poll(office, imap.url)).recorded == 1


async def test_a_mailbox_that_cannot_be_read_says_why_and_no_password(office: PostOffice, imap: ImapServer) -> None:
    for url, told in (
        (imap.url.replace(":a%20", ":wrong%20"), "wrong: LOGIN"),
        (imap.url.replace("INBOX", "Nowhere"), "there is no such folder"),
        ("imap://u:wrong%20secret@127.0.0.1:1/INBOX", "refused"),
        ("maildir:///nowhere", "it is no maildir"),
    ):
        with pytest.raises(MailboxUnavailable) as caught:
            await poll(office, url)
        assert told in str(caught.value)
        assert PASSWORD not in str(caught.value) and "wrong secret" not in str(caught.value)


async def test_a_maildir_is_read_and_what_is_done_is_seen(office: PostOffice, tmp_path: Path) -> None:
    folder = maildir(tmp_path)
    mailing = await office.sent(2)
    (folder / "new" / "1.a").write_bytes(dsn(to=office.return_path(mailing, 1)))
    (folder / "new" / "2.b").write_bytes(b"\r\n")
    assert await poll(office, f"maildir://{folder}") == Polled(messages=2, recorded=1, other=1)
    assert sorted(path.name for path in (folder / "cur").iterdir()) == ["1.a:2,S", "2.b:2,S"]
    assert await poll(office, f"maildir://{folder}") == Polled()


async def test_two_looks_at_the_same_time_count_each_message_once(office: PostOffice, tmp_path: Path) -> None:
    folder = maildir(tmp_path)
    mailing = await office.sent(20)
    for position in range(1, 21):
        (folder / "new" / f"{position:02}").write_bytes(dsn(to=office.return_path(mailing, position)))
    polled = await asyncio.gather(*(poll(office, f"maildir://{folder}") for _ in range(3)))
    assert sum(one.recorded for one in polled) == 20
    assert await office.ledger.counts(mailing.id) == Counts(failed=20)


@pytest.mark.slow
async def test_a_reader_that_is_killed_loses_nothing_and_doubles_nothing(office: PostOffice, tmp_path: Path) -> None:
    folder = maildir(tmp_path)
    mailing = await office.sent(60)
    for position in range(1, 61):
        (folder / "new" / f"{position:02}").write_bytes(dsn(to=office.return_path(mailing, position)))
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.mailbox_reader", office.database_url, f"maildir://{folder}")
    )
    while not any((folder / "cur").iterdir()):
        assert reader.returncode is None
        await asyncio.sleep(0)
    reader.kill()
    await reader.wait()
    rest = await poll(office, f"maildir://{folder}")
    assert rest.messages > 0
    assert await office.ledger.counts(mailing.id) == Counts(failed=60)
    assert len(list((folder / "cur").iterdir())) == 60


async def test_the_job_is_scheduled_when_there_is_a_mailbox(office: PostOffice) -> None:
    assert NAME not in office.schedule_with()
    assert office.schedule_with(mail_bounce_mailbox="maildir:///var/mail/bounces")[NAME]["schedule"].run_every


def maildir(folder: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (folder / name).mkdir()
    return folder
