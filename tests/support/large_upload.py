"""Stores a mailing to so many recipients from a CSV file, and prints the most memory that it took, in megabytes.

A process of its own: the most memory is that of the process's whole life.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily
from celeriac.families.email.ledger import Ledger
from celeriac.families.email.model import Mailing
from celeriac.families.email.recipients import CsvRecipients


async def store(csv: Path, folder: Path) -> int:
    database = Database(f"sqlite:///{folder}/ledger.db", lambda: [EmailFamily.migrations()])
    with csv.open("rb") as file:
        stored = await Ledger(database).create(
            Mailing(id="m", sender="a@example.com", subject="s", text="x"), CsvRecipients(file).read(())
        )
    await database.dispose()
    return stored


if __name__ == "__main__":
    stored = asyncio.run(store(Path(sys.argv[1]), Path(sys.argv[2])))
    print(stored, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
