"""A process that reads a mailbox, to be killed: `python -m tests.support.mailbox_reader DATABASE MAILBOX`."""

import asyncio
import sys

from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily
from celeriac.families.email.inbound.jobs import read_mailbox
from celeriac.families.email.inbound.mailbox import parse_mailbox_url
from celeriac.families.email.inbound.store import ComplaintLimit, FeedbackStore
from celeriac.families.email.tokens import Tokens
from tests.support.post_office import SECRET


async def main(database_url: str, mailbox_url: str) -> None:
    database = Database(database_url, lambda: [EmailFamily.migrations()])
    store = FeedbackStore(database, ComplaintLimit(0.003, 5))
    await read_mailbox(parse_mailbox_url(mailbox_url), store, Tokens([SECRET.encode()]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
