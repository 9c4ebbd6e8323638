"""A run that goes through a partitioned table of Postgres one partition after the other, each in chunks of its own.

Rows are read from the partition itself, in the order of its own index. Through the table, each chunk would have to ask
the indexes of all partitions. The place to go on names the partition, and the key there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from celeriac.families.cleanup.keys import read_position
from celeriac.families.cleanup.partitions import Partition
from celeriac.families.cleanup.partitions_chosen import walked_partitions
from celeriac.families.cleanup.records import RunState
from celeriac.families.cleanup.running import Cleaning

log = logging.getLogger("celeriac")

_IS_THERE = text("SELECT to_regclass(:name) IS NOT NULL")


async def clean_partitions(cleaning: Cleaning) -> RunState:
    """Go through the partitions that may have rows to work on, from the run's position on. Return how the run ends.

    Raises:
        TableRefused: the policy's table has no partitions.
        RunLater, LeaseLost, ChunkUnstable: as from `Cleaning.go`.
    """
    database, plan, cutoff_ms = cleaning.database, cleaning.plan, cleaning.run.cutoff_ms
    partitions = await database.read(lambda c: walked_partitions(c, plan, cutoff_ms))
    for partition in _left(partitions, cleaning.lease.position):
        try:
            state = await cleaning.go_within(partition.table)
        except ProgrammingError:
            if await database.read(lambda c, one=partition: _is_there(c, one)):
                raise
            await cleaning.filing.release()  # its last chunk may be in the archive, and is cut off when that is opened
            log.warning("somebody has dropped the partition %s while a cleanup was at it", partition.table)
            continue
        if state is not RunState.DONE:
            return state
    return RunState.DONE


def _left(partitions: Sequence[Partition], position: str | None) -> Sequence[Partition]:
    """Leave out what the run has been through. If the partition it was at is gone, that is unknown: begin anew."""
    _, name = read_position(position)
    names = [str(one.table) for one in partitions]
    return partitions[names.index(name) :] if name in names else partitions


def _is_there(connection: Connection, partition: Partition) -> bool:
    name = partition.table.quoted(connection).replace("\\:", ":")
    return bool(connection.execute(_IS_THERE, {"name": name}).scalar())
