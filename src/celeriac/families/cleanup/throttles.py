"""Throttles: what a run waits for between two chunks. Nothing is open while it waits.

What cannot be measured holds the run, and its reason says why: to go on blindly is what a throttle is to prevent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from celeriac.core.errors import CeleriacError
from celeriac.core.exact import Exact
from celeriac.core.printable import one_line, shortened
from celeriac.database.engine import Database
from celeriac.families.cleanup.errors import NotMeasured
from celeriac.families.cleanup.holds import Hold
from celeriac.families.cleanup.replicas import Lag, lag_of_replica, lags_at_primary

#: Seconds that a measurement may take, and that a run waits at most before it looks again.
_PATIENCE_S, _LONGEST_PAUSE_S = 10.0, 60.0
_REASON_SHOWN = 300

OpenDatabase = Callable[[str], Database]


class _Throttle(Exact):
    pause: float = Field(default=2.0, gt=0, le=3600)
    """Seconds after which to look again. It doubles, up to a minute, while the run is held."""


class ReplicaLag(_Throttle):
    """Waits while a replica is behind."""

    kind: Literal["replica_lag"]
    above: float = Field(gt=0)
    """Seconds that a replica may be behind."""
    above_mb: float = Field(default=256.0, gt=0)
    """Megabytes of changes that a replica of Postgres may have to apply. A replica that stands still shows here."""
    replicas: tuple[str, ...] = ()
    """Connections of the replicas, to ask these. Unset: ask the database itself, which only Postgres can answer."""
    at_least: int = Field(default=1, ge=1)
    """How many replicas have to be connected, if the database itself is asked: one that is gone has no lag."""

    async def measure(self, database: Database, open_database: OpenDatabase) -> str | None:
        """Return why to wait; None if all replicas keep up."""
        lags: list[Lag] = []
        if self.replicas:
            for name in self.replicas:
                replica = open_database(name)
                lags.append(await _measured(replica, lambda connection, name=name: lag_of_replica(connection, name)))
        else:
            lags += await _measured(database, lags_at_primary)
            if len(lags) < self.at_least:
                return f"{len(lags)} of {self.at_least} replicas are connected"
        return next((reason for lag in lags if (reason := lag.above(self.above, self.above_mb)) is not None), None)


class SqlProbe(_Throttle):
    """Waits while a query gives a number that is too high."""

    kind: Literal["sql"]
    sql: str = Field(min_length=1, max_length=10_000)
    """A query that gives one number, such as `SELECT count(*) FROM jobs WHERE state = 'queued'`."""
    above: float
    """The number above which the run waits."""
    connection: str | None = None
    """Where to ask. Unset: the policy's connection."""

    async def measure(self, database: Database, open_database: OpenDatabase) -> str | None:
        """Return why to wait; None if the number is low enough."""
        where = database if self.connection is None else open_database(self.connection)
        found = await _measured(where, lambda connection: _ask(connection, self.sql))
        try:
            number = float(found)
        except (TypeError, ValueError):
            raise NotMeasured(f"the query gives {str(found)[:100]!r}, which is no number") from None
        return None if number <= self.above else f"the query gives {number:g}, which is above {self.above:g}"


class Load(_Throttle):
    """Waits while the worker's own machine is busy."""

    kind: Literal["load"]
    above: float = Field(gt=0)
    """The load of the last minute, as `uptime` shows it."""

    async def measure(self, database: Database, open_database: OpenDatabase) -> str | None:
        """Return why to wait; None if the machine is quiet enough."""
        load = os.getloadavg()[0]
        return None if load <= self.above else f"the load of this machine is {load:.1f}, which is above {self.above:g}"


class Flag(_Throttle):
    """Waits while a file exists, which anybody may create to stop all policies that name it."""

    kind: Literal["flag"]
    file: Path
    """The whole path, from `/` on, on the worker's machine."""

    @field_validator("file")
    @classmethod
    def _whole(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("give the whole path, from / on")
        return value

    async def measure(self, database: Database, open_database: OpenDatabase) -> str | None:
        """Return why to wait; None if there is no such file."""
        try:
            self.file.lstat()
        except FileNotFoundError:
            return None
        return f"the file {self.file} exists"


Throttle = Annotated[ReplicaLag | SqlProbe | Load | Flag, Field(discriminator="kind")]


class Throttling:
    """The throttles of one run. Call it between two transactions."""

    def __init__(self, throttles: Sequence[Throttle], database: Database, open_database: OpenDatabase) -> None:
        """
        Args:
            throttles: what to wait for.
            database: the one that is cleaned.
            open_database: gives others by their connections' names.
        """
        self._throttles = throttles
        self._database = database
        self._open_database = open_database
        self._held = 0

    async def __call__(self) -> Hold | None:
        """Return why to wait, and for how long; None to go on."""
        for throttle in self._throttles:
            if (reason := await self._reason(throttle)) is not None:
                seconds = max(throttle.pause, min(throttle.pause * 2.0 ** min(self._held, 10), _LONGEST_PAUSE_S))
                self._held += 1
                return Hold(f"{throttle.kind}: {reason}", seconds)
        self._held = 0
        return None

    async def reasons(self) -> list[str]:
        """Measure each once, and say for which of them a run would wait now."""
        found = [(throttle.kind, await self._reason(throttle)) for throttle in self._throttles]
        return [f"a run would wait now: {kind}: {reason}" for kind, reason in found if reason is not None]

    async def _reason(self, throttle: Throttle) -> str | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await throttle.measure(self._database, self._open_database)
        except TimeoutError:
            return f"no answer within {_PATIENCE_S:g} s"
        except DBAPIError as error:
            return _shown(error.orig)
        except (CeleriacError, SQLAlchemyError, OSError) as error:
            return _shown(error)


def _shown(error: object) -> str:
    return f"it cannot be measured: {one_line(shortened(str(error), _REASON_SHOWN))}"


def _ask(connection: Connection, sql: str) -> Any:
    """Send a query as it is: a `%` or `:name` in it has no meaning for SQLAlchemy."""
    return connection.execution_options(no_parameters=True).exec_driver_sql(sql).scalar()


async def _measured(database: Database, measure: Callable[[Connection], Any]) -> Any:
    """Call `measure` in a transaction that cannot write."""

    def safely(connection: Connection) -> Any:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        return measure(connection)

    return await database.look(safely)
