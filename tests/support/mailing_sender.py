"""A process that sends a mailing, to be killed: `python -m tests.support.mailing_sender DATABASE MAILING SMTP`."""

import asyncio
import sys

from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily
from celeriac.families.email.ledger import Ledger
from tests.support.mailings import send


async def main(database_url: str, mailing_id: str, smtp_url: str) -> None:
    ledger = Ledger(Database(database_url, lambda: [EmailFamily.migrations()]), claim_seconds=2)
    await send(ledger, await ledger.mailing(mailing_id), smtp_url)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
