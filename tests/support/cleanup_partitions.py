"""A table of Postgres with a partition for each month, whose old ones are detached. A process can be killed at it."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from celeriac.database.engine import Database
from celeriac.families.cleanup import locks
from celeriac.families.cleanup.archives_model import Format
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.locks import Lease
from celeriac.families.cleanup.partitions import find_partitions
from celeriac.families.cleanup.partitions_detach import Detached, Detaching
from celeriac.families.cleanup.places import history

CUTOFF = datetime(2026, 4, 10)
EVENTS = TableName(None, "events")


class Calendar:
    """The table `events`: one partition for each month from January 2026 on."""

    def __init__(self, url: str, archives: Path) -> None:
        self.url = url
        self.archives = archives
        self.database = Database(url, lambda: [history()], is_ours=False)

    async def create(self, *, months: int = 6, rows_a_day: int = 10, key: str = "PRIMARY KEY (at, id)") -> None:
        await self.execute(
            f"CREATE TABLE events (id bigint, at timestamp NOT NULL, note text, {key}) PARTITION BY RANGE (at)"
        )
        for month in range(1, months + 1):
            bounds = f"FROM ('2026-{month:02}-01') TO ('2026-{month + 1:02}-01')"
            await self.execute(f"CREATE TABLE events_{month:02} PARTITION OF events FOR VALUES {bounds}")
        last = f"'2026-{months + 1:02}-01'"
        await self.execute(
            "INSERT INTO events SELECT row_number() OVER (), at, CASE WHEN n % 3 = 0 THEN NULL ELSE repeat('x', n) END "
            f"FROM generate_series(timestamp '2026-01-01', timestamp {last} - interval '1 second', interval '1 day') "
            f"AS at, generate_series(1, {rows_a_day}) AS n"
        )

    async def execute(self, *statements: str) -> None:
        await self.database.write(lambda c: [c.execute(text(one)) for one in statements])

    async def query(self, sql: str) -> list[Any]:
        return await self.database.read(lambda c: list(map(tuple, c.execute(text(sql)))))

    async def lease(self, job: str = "job") -> Lease:
        taken = await self.database.write(lambda c: locks.acquire(c, "old-events", job, "digest"))
        assert isinstance(taken, Lease)
        return taken

    async def detach(
        self,
        *,
        form: Format | None = "csv.gz",
        table: TableName = EVENTS,
        wait: Callable[[], Any] | None = None,
        job: str = "job",
        chunk_rows: int = 40,
    ) -> Detached:
        async def go_on() -> None:
            if wait is not None and (found := wait()) is not None:
                await found

        def find(connection: Connection) -> Any:
            return find_partitions(connection, table, "at").wholly_older(connection, CUTOFF)

        lease = await self.lease(job)
        detaching = Detaching(
            database=self.database,
            lease=lease,
            run_id="run-1",
            form=form,
            folder=self.archives,
            chunk_rows=chunk_rows,
            wait=go_on,
            tell=lambda rows: None,
        )
        return await detaching.go(await self.database.read(find))

    def once(self, rows: tuple[int, int], *statements: str) -> Callable[[], Any]:
        """Run statements once, when so many rows of the first partition are archived."""
        left = list(statements)

        async def look() -> None:
            where = f"row_count BETWEEN {rows[0]} AND {rows[1]} AND round = 1"
            sql = f"SELECT 1 FROM celeriac_cleanup_partition WHERE {where}"
            if left and await self.query(sql):
                now, left[:] = [*left], []
                await self.execute(*now)

        return look

    async def tables(self) -> list[str]:
        """The tables whose names begin like ours, and `*` behind those that are partitions."""
        found = await self.query(
            "SELECT relname, relispartition FROM pg_class "
            "WHERE relname LIKE 'events%' AND relkind IN ('r', 'p') ORDER BY 1"
        )
        return [f"{name}*" if is_partition else name for name, is_partition in found]

    async def audited(self) -> list[int]:
        """The ids of the rows that the audit says are archived, from the places in the files that it names."""
        query = "SELECT file, file_offset, file_length, row_count FROM celeriac_cleanup_chunk ORDER BY number"
        ids: list[int] = []
        for file, offset, length, count in await self.query(query):
            part = gzip.decompress((self.archives / file).read_bytes()[offset : offset + length]).decode()
            lines = part.splitlines()
            assert len(lines) == count
            ids += [int(line.partition(",")[0]) for line in lines]
        return ids


def run_and_kill(url: str, archives: Path, seed: int, until_s: float) -> None:
    """The program of a process that is killed at some moment of its work. The moment depends on the seed."""

    def kill() -> None:
        time.sleep(random.Random(seed).uniform(0, until_s))
        os.kill(os.getpid(), signal.SIGKILL)

    async def work() -> None:
        calendar = Calendar(url, archives)
        await calendar.query("SELECT 1")
        threading.Thread(target=kill, daemon=True).start()
        await calendar.detach()
        await calendar.database.dispose()

    asyncio.run(work())


def names(found: Sequence[Any]) -> list[str]:
    return [one.table.name for one in found]
