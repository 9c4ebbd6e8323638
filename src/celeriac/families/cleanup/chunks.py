"""The transaction of one chunk: the lease, the rows, the place to go on and the audit, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from celeriac.database.triggers import is_of_trigger
from celeriac.families.cleanup import locks, records
from celeriac.families.cleanup.archives_cells import same_rows
from celeriac.families.cleanup.archives_columns import use_exact_texts
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import CleanupRefused, RowsReferred
from celeriac.families.cleanup.locks import Lease
from celeriac.families.cleanup.moves import copy_rows
from celeriac.families.cleanup.records import Entry
from celeriac.families.cleanup.statements import Key, Parameters, Row, Statements

#: Milliseconds for which a chunk waits for a row that somebody else has locked. Who waits for us waits as long.
_LOCK_WAIT_MS = 200

#: How databases say that other rows refer to one: SQLSTATEs, errors of MySQL, and the text of SQLite, whose code it
#: shares with triggers.
_REFERRED = ("23503", "23001", 1451, 1217, "FOREIGN KEY constraint failed")
#: What stands for NaN where keys are compared.
NAN = object()

Renew = Callable[[Sequence[Row]], Sequence[Parameters]]


class ChunkChanged(Exception):
    """The rows are not what they were when they were read. Nothing is committed: read them again."""


class ChunkReferred(ChunkChanged):
    """Other rows refer to those of the chunk. They may have come just now: read them as well."""


class ChunkKept(ChunkChanged):
    """The database was told to delete the rows, and some are still there as they were. The message names the table."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Rows of the policy's own table, whose children may go only while they meet the condition."""

    statements: Statements
    keys: Sequence[Key]
    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A chunk that is ready to be committed.

    Attributes:
        rows: as they were read, and archived if they are.
        position: where the next one begins, in JSON.
        guard: for rows of children.
        moved_to: the archive, if it is a table.
        renew: returns the new values of rows that stay.
    """

    lease: Lease
    run_id: str
    statements: Statements
    children: Sequence[Statements]
    rows: Sequence[Row]
    parameters: Parameters
    position: str | None
    entry: Entry
    guard: Guard | None = None
    moved_to: TableName | None = None
    renew: Renew | None = None


def commit(connection: Connection, chunk: Chunk) -> int:
    """Do a chunk, and return how many rows were changed. The caller commits.

    Raises:
        ChunkChanged: the rows have changed since they were read, or others refer to them now.
        LeaseLost: another worker has the policy.
        Paused: somebody has paused it.
        RowsReferred: rows of a table that is left alone refer to them.
        CleanupRefused: a trigger wants them to stay as they are.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}"))
        if chunk.statements.reading.has_texts:
            use_exact_texts(connection)
    locks.fence(connection, chunk.lease, chunk.position)
    if chunk.guard is not None:
        _hold(connection, chunk.guard)
    try:
        changed = _change(connection, chunk)
    except DBAPIError as error:
        if is_of_trigger(error):
            raise CleanupRefused(_said_by_trigger(error, chunk)) from error
        raise
    if changed:
        records.write_entry(connection, chunk.run_id, replace(chunk.entry, rows=changed))
    return changed


def _change(connection: Connection, chunk: Chunk) -> int:
    if chunk.renew is not None:
        return _update(connection, chunk, chunk.renew)
    _remove(connection, chunk)
    return len(chunk.rows)


def _said_by_trigger(error: DBAPIError, chunk: Chunk) -> str:
    """Say what a trigger has said. Of which row, only it knows."""
    what, entry = "delete" if chunk.renew is None else "change", chunk.entry
    says = str(error.orig).splitlines()[0].rpartition("'>: ")[2]
    return (
        f"a trigger refuses to {what} rows of {chunk.statements.table}, from {entry.first_key} to {entry.last_key}: "
        f"{says}. Leave such rows out of the condition, or change the trigger"
    )


def _hold(connection: Connection, guard: Guard) -> None:
    found = connection.execute(guard.statements.hold, guard.parameters).fetchall()
    if len(found) != len(guard.keys):
        raise ChunkChanged


def _remove(connection: Connection, chunk: Chunk) -> None:
    statements, rows = chunk.statements, chunk.rows
    width = statements.reading.width
    if statements.returns and chunk.moved_to is None:
        gone = _deleted(connection, chunk, returning=True)
        if not same_as(gone, rows, width):
            _refuse_kept(connection, chunk)
            raise ChunkChanged
        return
    seen = fetch(connection, statements.read_again, chunk.parameters)
    if not same_as(seen, rows, width):
        raise ChunkChanged
    if _are_referred(connection, chunk):
        raise ChunkReferred
    if chunk.moved_to is not None:
        copy_rows(connection, statements, chunk.moved_to, chunk.parameters, len(rows))
    if _deleted(connection, chunk, returning=False) != len(rows):
        _refuse_kept(connection, chunk)
        raise ChunkChanged


def _refuse_kept(connection: Connection, chunk: Chunk) -> None:
    """
    Raises:
        ChunkKept: rows are as they were, although a statement has deleted them.
    """
    width = chunk.statements.reading.width
    read = {row[:width]: row for row in chunk.rows}
    left = fetch(connection, chunk.statements.read_left, chunk.parameters)
    if any(read.get(row[:width]) == row for row in left):
        raise ChunkKept(
            f"rows of {chunk.statements.table} stay although they were deleted: a trigger, a rule or a policy for rows "
            "of the database keeps them. Leave such rows out of the condition"
        )


def _are_referred(connection: Connection, chunk: Chunk) -> bool:
    """Return whether rows refer to those of the chunk, which are locked: no other transaction can add one now."""
    statements, rows = chunk.statements, chunk.rows
    for child in chunk.children:
        given = child.given_parents(child.link.columns, statements.reading.pick(rows, child.link.to_columns))
        if connection.execute(child.any_child, given).first() is not None:
            return True
    keys = statements.given_keys(statements.keys(rows))
    for link in statements.step.own:
        given = statements.given_parents(link.columns, statements.reading.pick(rows, link.to_columns)) | keys
        if connection.execute(statements.any_own(link), given).first() is not None:
            return True
    return False


def _deleted(connection: Connection, chunk: Chunk, *, returning: bool) -> Any:
    try:
        statements = chunk.statements
        result = connection.execute(statements.take if returning else statements.delete, chunk.parameters)
        return raw_rows(result) if returning else result.rowcount
    except IntegrityError as error:
        if not _is_of_reference(error.orig):
            raise  # a trigger has refused
        says = str(error.orig).partition("\n")[0]
        files, listed = "Archive to files, which `children` can have", "List the table in `children`"
        how = files if chunk.moved_to else listed
        raise RowsReferred(
            f"rows of {chunk.statements.table} cannot be deleted: {says}. {how}, or leave such rows out of the "
            "condition"
        ) from error


def _is_of_reference(error: Any) -> bool:
    """Return whether a foreign key stands in the way."""
    return getattr(error, "sqlstate", None) in _REFERRED or error.args[0] in _REFERRED


def _update(connection: Connection, chunk: Chunk, renew: Renew) -> int:
    """Give rows that still meet the condition their new values. What has them already is not written again."""
    seen = fetch(connection, chunk.statements.read_again, chunk.parameters)
    changes = renew(seen)
    if changes:
        connection.execute(chunk.statements.update, list(changes))
    return len(changes)


def read(connection: Connection, statements: Statements, statement: TextClause, parameters: Parameters) -> list[Row]:
    """Return the rows of a query of `statements`."""
    if statements.reading.has_texts:
        use_exact_texts(connection)
    return fetch(connection, statement, parameters)


def fetch(connection: Connection, statement: TextClause, parameters: Parameters) -> list[Row]:
    """Return the rows of a query as tuples."""
    return raw_rows(connection.execute(statement, parameters))


def raw_rows(result: CursorResult[Any]) -> list[Row]:
    """Return the driver's rows as tuples. SQLAlchemy would make an object of each, which costs more than reading it."""
    cursor: Any = result.cursor
    rows: list[Row] = cursor.fetchall()
    result.close()
    return rows if not rows or type(rows[0]) is tuple else list(map(tuple, rows))


def same_as(found: Sequence[Row], read: Sequence[Row], width: int) -> bool:
    """Return whether the rows that were found are those that were read, in whatever order. The key comes first."""
    if len(found) != len(read):
        return False
    if found == read:
        return True
    by_key = {_comparable(row[:width]): row for row in found}
    ordered = [by_key.get(_comparable(row[:width]), ()) for row in read]
    return ordered == read or same_rows(ordered, read)


def _comparable(key: Key) -> Key:
    """Return a key that equals itself, as NaN does not."""
    return tuple(NAN if one != one else one for one in key)
