"""Carries the outcomes and claims of all senders of a process to the database, many in one transaction.

A commit costs more than all else that a mail needs of the database. While one transaction runs, what other senders
have to say gathers for the next. So each sender waits for its own commit, as the ledger's promise needs, and a process
with many connections makes few.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, text
from sqlalchemy.engine import Dialect

from celeriac.core import codec
from celeriac.core.background import background
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database

#: Rows of one transaction at most, so that other writers get their turn.
_MOST = 500


@dataclass(frozen=True, slots=True)
class Advance:
    """What one sender has to say: at most one outcome, one claim that it gives back, and one recipient to claim.

    Each is a row for `RECORD` or `CLAIM`, keyed by their column names there.
    """

    records: Sequence[dict[str, Any]]
    claim: dict[str, Any] | None


@dataclass(slots=True)
class _Turn:
    """What has gathered on one event loop, and the task that carries it."""

    waiting: list[tuple[Advance, asyncio.Future[bool]]] = field(default_factory=list[Any])
    task: asyncio.Task[None] | None = None


class Advances:
    """The shared transactions of the senders of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = WeakKeyDictionary()

    async def make(self, advance: Advance) -> bool:
        """Record and claim in the next transaction, and return after its commit whether the claim was granted.

        Raises:
            DatabaseUnavailable: nothing of it is known to be stored.
        """
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(loop, _Turn())
        granted: asyncio.Future[bool] = loop.create_future()
        turn.waiting.append((advance, granted))
        if turn.task is None:
            turn.task = background(self._carry(turn))
        return await granted

    async def _carry(self, turn: _Turn) -> None:
        try:
            while turn.waiting:
                await asyncio.sleep(0)  # let those that were just woken speak as well
                batch, turn.waiting = turn.waiting[:_MOST], turn.waiting[_MOST:]
                try:
                    advances = [advance for advance, _ in batch]
                    granted = await self._database.write(lambda c, advances=advances: _apply(c, advances))
                except asyncio.CancelledError:
                    turn.waiting += batch  # the loop ends: `finally` tells all of them
                    raise
                except Exception as error:  # each sender deals with it
                    for _, waiting in batch:
                        if not waiting.done():
                            waiting.set_exception(error)
                else:
                    for advance, waiting in batch:
                        if not waiting.done():
                            waiting.set_result(advance.claim is not None and _key(advance.claim) in granted)
        finally:
            turn.task = None
            for _, waiting in turn.waiting:
                waiting.cancel()


def _apply(connection: Connection, advances: Sequence[Advance]) -> set[tuple[Any, ...]]:
    """Record all outcomes, then claim. Return the claims that were granted."""
    records = [record for advance in advances for record in advance.records]
    claims = [advance.claim for advance in advances if advance.claim is not None]
    if connection.dialect.name == "sqlite":
        return _apply_in_rows(connection, records, claims)
    record, claim = _statements(connection.dialect)
    if records:
        connection.execute(record, {"rows": _json(records)})
    if not claims:
        return set()
    return {tuple(row) for row in connection.execute(claim, {"rows": _json(claims)})}


def _apply_in_rows(
    connection: Connection, records: Sequence[dict[str, Any]], claims: Sequence[dict[str, Any]]
) -> set[tuple[Any, ...]]:
    """Do so with SQLite, by its driver: there is no round trip to save, and SQLAlchemy would cost as much again."""
    record, claim = _statements(connection.dialect)
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(record, records)
        cursor.executemany(claim, claims)
        if cursor.rowcount == len(claims):
            return set(map(_key, claims))
        return {_key(one) for one in claims if cursor.execute(_HELD_BY, one).fetchone() is not None}
    finally:
        cursor.close()


def _key(claim: dict[str, Any]) -> tuple[Any, ...]:
    return claim["mailing"], claim["at"], claim["by"]


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return codec.dumps(rows).decode()


@cache
def _statements(dialect: Dialect) -> tuple[Any, Any]:
    """Build the two statements: for one row, or with Postgres for any number as one JSON array, in one round trip."""
    now = str(now_ms().compile(dialect=dialect))
    if dialect.name == "sqlite":
        return _in_place(_RECORD, now), _in_place(_CLAIM, now)
    return (
        text(_RECORD.format(now=now, rows=_rows(_RECORD_COLUMNS))),
        text(_CLAIM.format(now=now, rows=_rows(_CLAIM_COLUMNS)) + _RETURNING),
    )


def _in_place(statement: str, now: str) -> str:
    """Have a statement take its one row by bound parameters."""
    bound = re.sub(r"\bv\.(\w+)", r":\1", statement.replace("\nFROM {rows}", ""))
    return bound.format(now=now)


def _rows(columns: dict[str, str]) -> str:
    fields = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS v({fields})"


_RECORD_COLUMNS = {
    "mailing": "text",
    "at": "integer",
    "by": "text",
    "status": "text",
    "code": "integer",
    "error": "text",
    "kind": "text",
    "wait_ms": "bigint",
    "back": "integer",
}

# A mail that was sent stays sent, even if another sender holds the claim by now; but not if a bounce was faster (it has
# a cause). Any other outcome needs the claim.
_RECORD = """
UPDATE celeriac_email_recipient AS r
SET status = v.status, code = v.code, error = v.error, kind = v.kind, claim = NULL, claim_expires_at = NULL,
    next_at = CASE WHEN v.wait_ms > 0 THEN {now} + v.wait_ms END, attempts = r.attempts - v.back, updated_at = {now}
FROM {rows}
WHERE r.mailing_id = v.mailing AND r.position = v.at
  AND (r.claim = v.by OR (v.status = 'sent' AND r.status <> 'sent' AND r.cause IS NULL))
"""

_CLAIM_COLUMNS = {"mailing": "text", "at": "integer", "by": "text", "message": "text", "life_ms": "bigint"}

# A claim is a compare-and-set: it is granted if nobody else holds one that still lives, and the mailing is being sent.
_CLAIM = """
UPDATE celeriac_email_recipient AS r
SET status = 'sending', attempts = r.attempts + 1, message_id = v.message, claim = v.by,
    claim_expires_at = {now} + v.life_ms, updated_at = {now}
FROM {rows}
WHERE r.mailing_id = v.mailing AND r.position = v.at
  AND (r.status = 'pending' OR (r.status = 'sending' AND r.claim_expires_at <= {now}))
  AND EXISTS (
    SELECT 1 FROM celeriac_email_mailing AS m
    WHERE m.id = v.mailing AND m.state = 'sending' AND (m.sends_until IS NULL OR m.sends_until > {now})
  )
"""
_RETURNING = "RETURNING mailing_id, position, claim"
_HELD_BY = """
SELECT 1 FROM celeriac_email_recipient WHERE mailing_id = :mailing AND position = :at AND claim = :by
"""
