"""Carries the outcomes and claims of all senders of a process to the database, many in one transaction.

A commit costs more than all else that a mail needs of the database. While one transaction runs, what other senders
have to say gathers for the next. So each sender waits for its own commit, as the ledger's promise needs, and a process
with many connections makes few.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
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
#: A transaction begins when this part of all senders has something to say, or after so many seconds.
_PART, _GATHER_S = 0.75, 0.001


@dataclass(frozen=True, slots=True)
class Advance:
    """What one sender has to say: at most one outcome, one claim that it gives back, and one recipient to claim.

    Each is a row for `RECORD` or `CLAIM`, keyed by their column names there.
    """

    records: Sequence[dict[str, Any]]
    claim: dict[str, Any] | None


@dataclass(slots=True)
class _Turn:
    """What has gathered on one event loop, the task that carries it, and how many senders there are."""

    waiting: list[tuple[Advance, asyncio.Future[bool]]] = field(default_factory=list[Any])
    task: asyncio.Task[None] | None = None
    senders: int = 0
    _enough: asyncio.Future[None] | None = None

    def add(self, advance: Advance, granted: asyncio.Future[bool]) -> None:
        self.waiting.append((advance, granted))
        if self._enough is not None and len(self.waiting) >= self.senders * _PART:
            self._go()

    async def gather(self) -> None:
        """Let most senders speak. Those whose mail server is slow are not waited for."""
        if len(self.waiting) >= self.senders * _PART:
            return
        loop = asyncio.get_running_loop()
        self._enough = loop.create_future()
        timer = loop.call_later(_GATHER_S, self._go)
        try:
            await self._enough
        finally:
            timer.cancel()
            self._enough = None

    def _go(self) -> None:
        if self._enough is not None and not self._enough.done():
            self._enough.set_result(None)


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
        turn = self._turn(loop)
        granted: asyncio.Future[bool] = loop.create_future()
        turn.add(advance, granted)
        if turn.task is None:
            turn.task = background(self._carry(turn))
        return await granted

    @contextmanager
    def sender(self) -> Generator[None]:
        """Count as a sender for this block: transactions wait a moment for what it has to say."""
        turn = self._turn(asyncio.get_running_loop())
        turn.senders += 1
        try:
            yield
        finally:
            turn.senders -= 1

    def _turn(self, loop: asyncio.AbstractEventLoop) -> _Turn:
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = _Turn()
        return turn

    async def _carry(self, turn: _Turn) -> None:
        try:
            while turn.waiting:
                await turn.gather()
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
        return _apply_in_place(connection, records, claims)
    record, claim = _statements(connection.dialect)
    if records:
        connection.execute(record, {"rows": _json(records)})
    if not claims:
        return set()
    return {tuple(row) for row in connection.execute(claim, {"rows": _json(claims)})}


def _apply_in_place(
    connection: Connection, records: Sequence[dict[str, Any]], claims: Sequence[dict[str, Any]]
) -> set[tuple[Any, ...]]:
    """Do so with SQLite, by its driver, and by as few steps as there can be.

    With each step, and each row that it returns, the thread has to wait for Python's lock, which the event loop holds
    for milliseconds when it is busy.
    """
    cursor = connection.connection.cursor()
    try:
        if records:
            cursor.execute(*_in_place(connection.dialect, _RECORD, tuple(_RECORD_COLUMNS), records))
        if not claims:
            return set()
        cursor.execute(*_in_place(connection.dialect, _CLAIM, tuple(_CLAIM_COLUMNS), claims))
        if cursor.rowcount == len(claims):
            return set(map(_key, claims))
        return {_key(one) for one in claims if cursor.execute(_HELD_BY, one).fetchone() is not None}
    finally:
        cursor.close()


def _in_place(
    dialect: Dialect, statement: str, columns: tuple[str, ...], rows: Sequence[dict[str, Any]]
) -> tuple[str, list[Any]]:
    """Return a statement that takes its rows as `VALUES`, and their values. Rows of nothing fill it up, so that there
    are few such statements, and the driver keeps them prepared.
    """
    size = 1 << (len(rows) - 1).bit_length()
    values = [row[column] for row in rows for column in columns]
    return _with_values(dialect, statement, columns, size), values + [None] * (size - len(rows)) * len(columns)


@cache
def _with_values(dialect: Dialect, statement: str, columns: tuple[str, ...], size: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    named = re.sub(r"\bv\.(\w+)", lambda found: f"v.column{columns.index(found[1]) + 1}", statement)
    return named.format(now=now_ms().compile(dialect=dialect), rows=f"(VALUES {', '.join([row] * size)}) AS v")


def _key(claim: dict[str, Any]) -> tuple[Any, ...]:
    return claim["mailing"], claim["at"], claim["by"]


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return codec.dumps_text(rows)


@cache
def _statements(dialect: Dialect) -> tuple[Any, Any]:
    """Build the two statements for Postgres. Each takes all its rows as one JSON array, in one round trip."""
    now = str(now_ms().compile(dialect=dialect))
    return (
        text(_RECORD.format(now=now, rows=_rows(_RECORD_COLUMNS))),
        text(_CLAIM.format(now=now, rows=_rows(_CLAIM_COLUMNS)) + _RETURNING),
    )


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
